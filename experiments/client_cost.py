"""What does one client pay?

Question: what do the policies of --trainable cost a device in memory, time, bytes and operations?

    python -m experiments.client_cost --model='transformer(size="small")' \\
      --policies='all; random(fraction=0.4); suffix(blocks=1); lora(rank=8); width(fraction=0.5)' \\
      --output_dir=runs/client_cost
    python -m experiments.client_cost --model='vit(patch_size=4)' --image_size=32 --objective=simclr \\
      --policies='all; layerwise(blocks=1); layerwise(blocks=1, drop_rate=0.5)' --output_dir=runs/client_cost_of_images

For each policy, clients do a local round in fresh processes, which take turns so that a busy machine disturbs all alike;
outside of TFF, whose worker holds copies of its own. Linux only. Prints a table and leaves client_cost.md,
client_cost.csv and client_cost.png in --output_dir.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from data import progress
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.command import spec_list
from experiments.command import takers
from experiments.costs import client_process
from experiments.costs import client_round
from experiments.costs import measured_case
from experiments.costs import report
from experiments.results import output
from experiments.results import terminal
from models import catalog as models_catalog

FLAGS = flag_table.FlagTable('client_cost')
FLAGS.string('model', 'transformer', 'The model, as for experiments.language_model, or vit or resnet.')
FLAGS.string(
  'policies',
  'all; random(fraction=0.4); suffix(blocks=1)',
  "Arguments of --trainable, or layerwise(blocks=1, drop_rate=0.5), separated by ';'.",
)
FLAGS.integer('vocabulary_size', 4000, 'Sub-words of the model.', lower_bound=2)
FLAGS.integer('sequence_length', 20, 'Target positions of an example.', lower_bound=1)
FLAGS.integer('image_size', 32, 'Pixels on both sides of an image, for vit and resnet.', lower_bound=1)
FLAGS.integer('num_classes', 10, 'Classes of images, for vit and resnet.', lower_bound=2)
FLAGS.string(
  'objective', None, 'What is learned from images without labels, for example simclr; by default their classes.'
)
FLAGS.integer(
  'chunk_size', 0, 'Views that the encoder of an --objective sees at once; 0 for all of a batch.', lower_bound=0
)
FLAGS.integer('batch_size', 16, 'Examples in a local batch.', lower_bound=1)
FLAGS.integer('num_steps', 8, 'Local steps of a round.', lower_bound=2)
FLAGS.integer('repeats', 5, 'Processes for each policy.', lower_bound=1)
FLAGS.string(
  'algorithm',
  'fed_avg(client_lr=0.1)',
  "Whose clients' optimizer makes the local steps, as for experiments.language_model.",
)
FLAGS.string('upload', 'identity', 'How updates are encoded, for example uniform(bits=8).')
FLAGS.integer('cores', 1, 'Threads of a process.', lower_bound=1)
FLAGS.string('output_dir', None, 'Folder for the table, the CSV and the picture.')


def main(given: Mapping[str, Any]) -> None:
  """Measures what the flags name, prints it and keeps it."""
  cases, output_dir = _cases(given), _named(given['output_dir'])
  counted = _count(
    cases, [client_round.ClientRound(case) for case in cases]
  )  # What cannot be counted is refused before minutes of measuring.
  output.make(output_dir)
  measured = _measure(cases, given['repeats'], given['cores'])
  rows = [report.row(case.policy_name, *each) for case, *each in zip(cases, measured, counted, strict=True)]
  table = report.table(rows, given['repeats'], given['cores'])
  (output_dir / 'client_cost.md').write_text(table + '\n')
  report.write_csv(rows, output_dir / 'client_cost.csv')
  report.plot(rows, output_dir / 'client_cost.png')
  terminal.show(table)
  print(f'the picture is {output_dir / "client_cost.png"}')


def _measure(cases: Sequence[measured_case.Case], repeats: int, num_cores: int) -> list[list[client_process.Measured]]:
  """Returns, for each case, what each of its processes measured."""
  measured = [[] for _ in cases]
  task = 'measuring in processes of their own'
  with progress.Progress('measurement', len(cases) * repeats, task=task) as bar:
    for repeat in range(repeats):
      for case, found in zip(cases, measured, strict=True):
        bar.show(case.policy_name)
        found.append(client_process.run(case, repeat * client_process.NUM_CLIENTS, num_cores))
        bar.advance(state=case.policy_name)
  return measured


def _count(
  cases: Sequence[measured_case.Case], rounds: Sequence[client_round.ClientRound]
) -> list[client_round.Counted]:
  """Returns what travels in a round of each case, and what a step of it costs."""
  counted = []
  with progress.Progress('case', len(cases), task='counting what travels') as bar:
    for case, one in zip(cases, rounds, strict=True):
      counted.append(one.counted())
      bar.advance(state=case.policy_name)
  return counted


def _cases(given: Mapping[str, Any]) -> list[measured_case.Case]:
  if given['chunk_size'] and not given['objective']:
    raise failures.UsageError(f'--chunk_size={given["chunk_size"]} applies with --objective only')
  if given['objective'] and not takers.is_of_images(given['model']):
    raise failures.UsageError(
      f'--objective={given["objective"]} is for images: choose --model={" or ".join(models_catalog.VISION_MODELS)}'
    )
  policies = spec_list.read(given['policies'], 'policies', measured_case.devices)
  names = [field.name for field in dataclasses.fields(measured_case.Case) if field.name != 'policy']
  shared = {name: given[name] for name in names}
  cases = [measured_case.Case(policy=policy, **shared) for policy in policies.values()]
  for case in cases:
    client_process.packed(case)
  return cases


def _named(output_dir: str | None) -> pathlib.Path:
  if not output_dir:
    raise failures.UsageError('--output_dir is missing: name a folder, for example --output_dir=runs/client_cost')
  return pathlib.Path(output_dir)


if __name__ == '__main__':
  launch.launch(main, FLAGS)
