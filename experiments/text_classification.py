"""Fine-tunes a text classifier across a few clients that all take part, and counts every byte that travels.

Question: which accuracy does a pre-trained BERT, ALBERT or DistilBERT reach when its data lies with 1, 2 ... 32 clients?

    python -m experiments.text_classification --rounds=20 --output_dir=runs/classified
    python -m experiments.text_classification --pretrained=minilm --partition='iid(clients=32)' \\
      --trainable='lora(rank=8)' --upload='uniform(bits=8)' --output_dir=runs/classified32

The model is read from --pretrained, in the layout of Hugging Face or as experiments.pretrain leaves it; --model names
its family and what is left to choose. The run leaves metrics.csv, summary.json, accuracy.png, TensorBoard events
and checkpoints in --output_dir; the same command continues it if it was interrupted.
"""

from collections.abc import Sequence

from absl import flags

from data import catalog as data_catalog
from data import labelled_text
from data import population as population_lib
from data import prepare_labelled
from data import text_baselines
from data.sources import docstrings
from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.results import quality
from experiments.results import report
from experiments.results import terminal
from experiments.starts import encoder_start
from experiments.starts import recipe
from models import catalog as models_catalog
from models import classification_task

flags.adopt_module_key_flags(run_flags)
run_flags.specialize(
  dataset=(
    'docstring_packages',
    f'Texts with classes: {", ".join(data_catalog.CLASSIFICATION_DATASETS)}; docstring_packages needs no download, the '
    'others a path. max_examples and sequence_length are arguments.',
  ),
  partition=(
    'iid(clients=8)',
    'Who holds which training text: iid(clients=...), shards(clients=..., labels=...), dirichlet(alpha=..., clients=...).',
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


def main() -> None:
  """Builds what the flags name, trains it and reports."""
  source, partition = run_flags.dataset(data_catalog.CLASSIFICATION_DATASETS)
  encoder, algorithm, devices = run_flags.model(models_catalog.ENCODERS), run_flags.algorithm(), run_flags.devices()
  communication, batches, config = run_flags.communication(), run_flags.batches(), run_flags.config()
  client_dropout, client_weighting = run_flags.client_dropout(), run_flags.client_weighting()
  start = encoder_start.load(run_flags.pretrained_name(), encoder, docstrings.docstrings())
  start.check_length(source)
  model = run_flags.adapt(devices, start.classifier(len(source.class_names)))
  description = run_flags.classifier_description(start, source)
  first = start.of(model, description, devices.rebuilt(model, config.seed))

  text = prepare_labelled.prepare(source, partition, start.tokenizer)
  task = classification_task.build(model, text.sequence_length)
  process = algorithm(task, communication, batches, config.seed, devices, client_dropout, client_weighting)
  population = population_lib.Population.of(text, run_flags.eval_split())
  summary = run.run(task, process, population, config, first, description)

  accuracy = report.Measure(
    quality.ACCURACY,
    _baselines(text, population.evaluation_ids(config.eval_clients)),
    quality.JUDGES[run_flags.eval_split()],
  )
  report.plot(config.output_dir / 'metrics.csv', config.output_dir / 'accuracy.png', accuracy)
  terminal.show(
    report.table(summary, [accuracy, report.Measure(quality.LOSS, judges=quality.JUDGES[run_flags.eval_split()])])
  )
  print(f'everything is in {config.output_dir}; the picture is {config.output_dir / "accuracy.png"}')


def _baselines(text: labelled_text.LabelledText, evaluation_ids: Sequence[str]) -> dict[str, float]:
  """Returns the accuracy of simpler classifiers that have all training texts in one place."""
  training, evaluation = text.arrays('train'), text.arrays(run_flags.eval_split(), evaluation_ids)
  return {
    'the largest class': text_baselines.largest_class(training[1], evaluation[1]),
    'TF-IDF and logistic regression': text_baselines.bag_of_tokens(*training, *evaluation),
  }


if __name__ == '__main__':
  launch.launch(main)
