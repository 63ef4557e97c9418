"""Trains a language model across many small devices and counts every byte that travels.

Question: which perplexity on clients it has never seen does a federated model reach, for how many bytes?

    python -m experiments.language_model --output_dir=runs/first --rounds=50
    python -m experiments.language_model --flagfile=experiments/flagfiles/quickstart.flags --output_dir=runs/quick

Data, model, algorithm and compression are chosen by short specs such as --upload='uniform(bits=8)'; a wrong name
answers with the right ones. The run leaves metrics.csv, summary.json, perplexity.png, TensorBoard events and
checkpoints in --output_dir; the same command continues it if it was interrupted.
"""

from absl import flags

from data import population as population_lib
from data import prepare
from data import unigram
from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.results import quality
from experiments.results import report
from experiments.results import terminal
from models import language_task

flags.adopt_module_key_flags(run_flags)


def main() -> None:
  """Builds what the flags name, trains it and reports."""
  source, partition = run_flags.dataset()
  build_model, algorithm, devices = run_flags.model(), run_flags.algorithm(), run_flags.devices()
  communication, batches, config = run_flags.communication(), run_flags.batches(), run_flags.config()
  client_dropout, client_weighting = run_flags.client_dropout(), run_flags.client_weighting()
  start = run_flags.start(build_model, devices)

  text = prepare.prepare(source, partition)
  description = run_flags.description(text, start)
  model = run_flags.adapt(devices, build_model(text.vocabulary_size))
  task = language_task.build(model, text.sequence_length)
  population = population_lib.Population.of(text, run_flags.eval_split())
  process = algorithm(task, communication, batches, config.seed, devices, client_dropout, client_weighting)
  summary = run.run(task, process, population, config, start, description)

  evaluation_tokens = text.tokens(run_flags.eval_split(), population.evaluation_ids(config.eval_clients))
  of_unigrams = unigram.unigram_perplexity(text.token_batches('train'), evaluation_tokens, text.vocabulary_size)
  perplexity = report.Measure(
    quality.PERPLEXITY, {'a unigram model': of_unigrams}, quality.JUDGES[run_flags.eval_split()]
  )
  report.plot(config.output_dir / 'metrics.csv', config.output_dir / 'perplexity.png', perplexity)
  terminal.show(
    report.table(summary, [perplexity, report.Measure(quality.ACCURACY, judges=quality.JUDGES[run_flags.eval_split()])])
  )
  print(f'everything is in {config.output_dir}; the picture is {config.output_dir / "perplexity.png"}')


if __name__ == '__main__':
  launch.launch(main)
