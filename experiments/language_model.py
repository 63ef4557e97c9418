"""Trains a language model across many small devices and counts every byte that travels.

Question: which perplexity on clients it has never seen does a federated model reach, for how many bytes?

    python -m experiments.language_model --output_dir=runs/first --rounds=50
    python -m experiments.language_model --flagfile=experiments/flagfiles/quickstart.flags --output_dir=runs/quick

Data, model, algorithm and compression are chosen by short specs such as --upload='uniform(bits=8)'; a wrong name
answers with the right ones. The run leaves metrics.csv, summary.json, perplexity.png, TensorBoard events and
checkpoints in --output_dir; the same command continues it if it was interrupted.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from data import federated_text
from data import prepare
from data import unigram
from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.federated import run_setup
from experiments.results import quality
from experiments.results import report
from models import language_task

FLAGS = run_flags.take('language_model')


def main(given: Mapping[str, Any]) -> None:
  """Builds what the flags name, trains it and reports."""
  setup = run_setup.read(given)
  (source, partition), build_model = setup.dataset(), setup.model()
  start = setup.start(build_model)

  text = prepare.prepare(source, partition)
  description = setup.description(text, start)
  model = setup.adapt(build_model(text.vocabulary_size))
  task = language_task.build(model, text.sequence_length)
  population = setup.population(text)
  setup = setup.among(population)
  summary = run.run(task, setup.process(task), population, setup.config, start, description)

  judges = population.evaluation_ids(setup.config.eval_clients)
  perplexity = setup.measure(
    quality.PERPLEXITY, {'a unigram model': _of_unigrams(text, setup.flags['eval_split'], judges)}
  )
  report.conclude(summary, setup.config.output_dir, perplexity, setup.measure(quality.ACCURACY))


def _of_unigrams(text: federated_text.FederatedText, split: str, judges: Sequence[str]) -> float:
  """Returns the perplexity of a model that knows how often the training clients use each token."""
  return unigram.unigram_perplexity(text.token_batches('train'), text.tokens(split, judges), text.vocabulary_size)


if __name__ == '__main__':
  launch.launch(main, FLAGS)
