"""Compares what was measured.

Questions: which codec buys most quality for a byte, and how much of a model must a client train?

    python -m experiments.compare --what=codecs --run=runs/quickstart --runs=runs/codecs --output_dir=runs/comparison
    python -m experiments.compare --what=policies --runs=runs/partial --output_dir=runs/comparison

`--run` is a finished language-model run: its model trains once more on one client, and every codec encodes that update.
`--runs` is a folder of runs that differ in --upload (codecs), or --model, --trainable and --download (policies), and
--seed only. Prints tables and draws codecs.png or policies.png.
"""

import pathlib

from absl import flags

from experiments import client_update
from experiments import codec_comparison
from experiments import launch
from experiments import policy_comparison

_WHAT = flags.DEFINE_enum('what', 'codecs', ['codecs', 'policies'], 'What to compare.')
_RUN = flags.DEFINE_string('run', None, 'A finished run, whose model gives the update that codecs encode.')
_RUNS = flags.DEFINE_string('runs', None, 'A folder of runs to compare by perplexity and megabytes.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Folder for the picture and the tables.')


def main() -> None:
  """Measures, prints and draws what the flags name."""
  if not _OUTPUT_DIR.value or not (_RUN.value or _RUNS.value):
    raise launch.UsageError('name --output_dir and at least one of --run and --runs')
  output_dir = pathlib.Path(_OUTPUT_DIR.value)
  output_dir.mkdir(parents=True, exist_ok=True)
  picture = output_dir / f'{_WHAT.value}.png'
  tables = _codecs(picture) if _WHAT.value == 'codecs' else _policies(picture)
  (output_dir / f'{_WHAT.value}.md').write_text('\n\n'.join(tables) + '\n')
  print('\n\n'.join(tables))
  print(f'the picture is {picture}')


def _codecs(picture: pathlib.Path) -> list[str]:
  points, qualities, tables = [], [], []
  if _RUN.value:
    points = codec_comparison.measure_update(client_update.of_run(pathlib.Path(_RUN.value)), codec_comparison.CODECS)
    tables.append(codec_comparison.points_table(points))
  if _RUNS.value:
    qualities = codec_comparison.read_runs(pathlib.Path(_RUNS.value))
    tables.append(codec_comparison.quality_table(qualities))
  codec_comparison.plot(points, qualities, picture)
  return tables


def _policies(picture: pathlib.Path) -> list[str]:
  if not _RUNS.value:
    raise launch.UsageError('--what=policies compares finished runs: name the folder above them by --runs')
  qualities = policy_comparison.read_runs(pathlib.Path(_RUNS.value))
  policy_comparison.plot(qualities, picture)
  return [policy_comparison.table(qualities)]


if __name__ == '__main__':
  launch.launch(main)
