"""Fine-tunes a text classifier across a few clients that all take part, and counts every byte that travels.

Question: which accuracy does a pre-trained BERT, ALBERT or DistilBERT reach when its data lies with 1, 2 ... 32 clients?

    python -m experiments.text_classification --rounds=20 --output_dir=runs/classified
    python -m experiments.text_classification --pretrained=minilm --partition='iid(clients=32)' \\
      --trainable='lora(rank=8)' --upload='uniform(bits=8)' --output_dir=runs/classified32

The model is read from --pretrained, in the layout of Hugging Face or as experiments.pretrain leaves it; --model names
its family and what is left to choose. The run leaves metrics.csv, summary.json, accuracy.png, TensorBoard events
and checkpoints in --output_dir; the same command continues it if it was interrupted.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from data import catalog as data_catalog
from data import labelled_text
from data import prepare_labelled
from data import source as source_lib
from data import text_baselines
from data.sources import docstrings
from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.federated import run_setup
from experiments.results import quality
from experiments.results import report
from experiments.starts import encoder_finder
from experiments.starts import recipe
from models import catalog as models_catalog
from models import classification_task

FLAGS = run_flags.take(
  'text_classification',
  dataset=(
    'docstring_packages',
    f'Texts with classes: {", ".join(data_catalog.CLASSIFICATION_DATASETS)}; docstring_packages needs no download, the '
    'others a path; csv, jsonl and leaf are for texts of your own. max_examples and sequence_length are arguments.',
  ),
  partition=(
    'iid(clients=8)',
    'Who holds which training text: iid(clients=...), shards(clients=..., labels=...), dirichlet(alpha=..., clients=...); '
    'natural, where texts have users.',
  ),
  model=(
    'bert',
    'bert, albert or distilbert, with size="tiny", "small" or "base" if nothing is pre-trained, dropout=..., '
    'attention_mask=False (padding is attended to) and head_init="per_client" (each client draws what is new in the head).',
  ),
  pretrained=(
    'tiny_bert',
    'What to start from: a folder in the Hugging Face layout, the --output_dir of experiments.pretrain or of a run, '
    f'{", ".join(recipe.names())}, which are pre-trained on first use (some 10 minutes each), minilm, which the package '
    'of requirements-pretrained.txt carries, or none, for random weights.',
  ),
  algorithm=('fed_avg(client_lr=0.1)', None),
  clients_per_round=(0, None),
  client_weighting=('uniform', None),
  max_examples_per_client=(1_000_000, None),
  eval_clients=(0, None),
  rounds=(20, None),
  rounds_per_eval=(1, None),
)


def main(given: Mapping[str, Any]) -> None:
  """Builds what the flags name, trains it and reports."""
  setup = run_setup.read(given)
  source, partition = setup.dataset(data_catalog.CLASSIFICATION_DATASETS)
  prepare_labelled.check_partition(source, partition)  # Before anything is pre-trained.
  encoder = setup.model(models_catalog.ENCODERS)
  start = encoder_finder.find(setup.flags['pretrained'], encoder, docstrings.docstrings())
  start.check_length(source)
  model = setup.adapt(start.classifier(len(source.class_names)))
  description = start.description(source, setup.config.settings['trainable'], setup.config.settings['devices'])
  first = start.of(model, description, setup.rebuilt(model))

  text = prepare_labelled.prepare(source, partition, start.tokenizer)
  task = classification_task.build(model, text.sequence_length)
  has_users = source.clients is source_lib.Clients.USERS
  population = dataclasses.replace(setup.population(text), judges_are_users=has_users)
  setup = setup.among(population)
  summary = run.run(task, setup.process(task), population, setup.config, first, description)

  judges = population.evaluation_ids(setup.config.eval_clients)
  accuracy = setup.measure(quality.ACCURACY, _baselines(text, setup.flags['eval_split'], judges))
  report.conclude(summary, setup.config.output_dir, accuracy, setup.measure(quality.LOSS))


def _baselines(text: labelled_text.LabelledText, split: str, judges: Sequence[str]) -> dict[str, float]:
  """Returns the accuracy of simpler classifiers that have all training texts in one place."""
  training, evaluation = text.arrays('train'), text.arrays(split, judges)
  return {
    'the largest class': text_baselines.largest_class(training[1], evaluation[1]),
    'TF-IDF and logistic regression': text_baselines.bag_of_tokens(*training, *evaluation),
  }


if __name__ == '__main__':
  launch.launch(main, FLAGS)
