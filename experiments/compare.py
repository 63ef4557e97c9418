"""Compares what was measured.

Questions: what quality did settings reach for how many rounds and megabytes, which codec buys most quality for a byte,
and how much of a model must a client train?

    python -m experiments.compare --runs='runs/combination/*' --output_dir=runs/combination_compared
    python -m experiments.compare --what=codecs --run=runs/quickstart --runs=runs/codecs --output_dir=runs/comparison
    python -m experiments.compare --what=codecs --run=runs/quickstart --codecs='all; uniform(bits=3)' --output_dir=runs/comparison
    python -m experiments.compare --what=policies --runs=runs/partial --output_dir=runs/comparison
    python -m experiments.compare --what=policies --run=runs/quickstart --policies='suite; lora(rank=4)' --output_dir=runs/comparison

--what=runs takes any runs that are judged by one measure, finished or not, gathers those that differ in --seed only, and leaves
index.html (one file with everything in it), comparison.md, and two to five pictures. It tells by how much
each setting differs from the first that is finished and finite, with an interval and a p-value over the held-out clients or
examples that judged them; last, it prints which setting uploads least and is as good. The other two compare runs that
differ in --upload (codecs), or --model, --trainable and --download (policies), and --seed only, and leave a table and a
picture; `--run` is a finished run whose model trains once more: on one client, and every codec encodes that update, or on a
few clients by every policy. --csv=FILE keeps what the tables rest on, one observation a row.
"""

import math
import pathlib

from absl import flags

from experiments.command import failures
from experiments.command import launch
from experiments.comparisons import csv_file
from experiments.comparisons import observations
from experiments.comparisons import page as comparison_page
from experiments.comparisons import paired_comparison
from experiments.comparisons import plots
from experiments.comparisons import policies
from experiments.comparisons import policy_plot
from experiments.comparisons import policy_updates
from experiments.comparisons import readable_runs
from experiments.comparisons import runs
from experiments.comparisons import savings
from experiments.comparisons import table as comparison_table
from experiments.results import output
from experiments.results import terminal

_WHAT = flags.DEFINE_enum('what', 'runs', ['runs', 'codecs', 'policies'], 'What to compare.')
_RUN = flags.DEFINE_string(
  'run', None, 'A finished run, whose model gives the update that codecs encode, or is trained by policies.'
)
_RUNS = flags.DEFINE_multi_string(
  'runs',
  [],
  "Folders of runs, such as 'runs/x/*' in quotes, or a folder above runs; repeatable.",
)
_CODECS = flags.DEFINE_string(
  'codecs',
  None,
  "Which codecs encode the update of --run, separated by ';', where all stands for the suite's; by default all.",
)
_POLICIES = flags.DEFINE_string(
  'policies',
  None,
  "Which policies clients of --run train by, separated by ';', where suite stands for the suite's; by default suite.",
)
_ALLOW_DIFFERENT_DATA = flags.DEFINE_bool(
  'allow_different_data', False, 'Compare runs of different data sets, although their quality does not compare.'
)
_TARGET = flags.DEFINE_float(
  'target', None, 'A perplexity or accuracy: --what=runs then tells after how many rounds and megabytes it was reached.'
)
_CSV = flags.DEFINE_string(
  'csv', None, 'A file for what the tables rest on, one observation a row: every run at every evaluation, every codec.'
)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Folder for the page, the pictures and the tables.')
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Measures, prints and draws what the flags name."""
  if not _OUTPUT_DIR.value or not (_RUN.value or _RUNS.value):
    raise failures.UsageError('name --output_dir and at least one of --run and --runs')
  if _TARGET.value is not None and not math.isfinite(_TARGET.value):
    raise failures.UsageError(f'--target={_TARGET.value} is no quality: name a finite perplexity or accuracy')
  if _CSV.value:
    csv_file.check(pathlib.Path(_CSV.value))
  output_dir = pathlib.Path(_OUTPUT_DIR.value)
  if _WHAT.value == 'runs':
    _compare_runs(output_dir)
    return
  output.make(output_dir)
  picture = output_dir / f'{_WHAT.value}.png'
  tables, observed = _codecs(picture) if _WHAT.value == 'codecs' else _policies(picture)
  (output_dir / f'{_WHAT.value}.md').write_text('\n\n'.join(tables) + '\n')
  terminal.show('\n\n'.join(tables))
  print(f'the picture is {picture}')
  _write_csv(observed)


def _compare_runs(output_dir: pathlib.Path) -> None:
  if not _RUNS.value:
    raise failures.UsageError("--what=runs compares runs: name their folders, for example --runs='runs/x/*'")
  found, left_out = readable_runs.find(_RUNS.value)
  if not _ALLOW_DIFFERENT_DATA.value:
    runs.check_same_data(found)
  groups = runs.groups(found)
  paired = paired_comparison.compare(groups) if len(groups) > 1 else None
  output.make(output_dir)
  readable_runs.say(left_out)
  target, notes = _TARGET.value, paired.notes if paired else ()
  exact = comparison_table.markdown(groups, [f'`{group.label}`' for group in groups], target, paired)
  output.write_text(output_dir / 'comparison.md', '\n\n'.join([exact, *notes]) + '\n')
  pictures = plots.draw(groups, output_dir)
  output.write_text(output_dir / 'index.html', comparison_page.render(groups, pictures, left_out, target, paired))
  plain = comparison_table.markdown(groups, [group.name for group in groups], target, paired)
  terminal.show('\n\n'.join(filter(None, [plain, *notes, savings.table(groups)])))
  print(f'the page is {output_dir / "index.html"}')
  _write_csv(observations.of_runs(groups))


def _write_csv(observed: observations.Observations) -> None:
  if _CSV.value:
    csv_file.write(pathlib.Path(_CSV.value), observed)
    print(f'{len(observed.rows)} observations are in {_CSV.value}')


def _codecs(picture: pathlib.Path) -> tuple[list[str], observations.Observations]:
  # These two import TensorFlow, which the other comparisons do not wait for.
  from experiments.comparisons import client_update
  from experiments.comparisons import codec_plot
  from experiments.comparisons import codecs

  points, groups, tables = [], [], []
  if _RUN.value:
    specs = codecs.listed(codecs.ALL if _CODECS.value is None else _CODECS.value)
    points = codecs.measure_update(client_update.of_run(pathlib.Path(_RUN.value)), specs)
    tables.append(codecs.points_table(points))
  if _RUNS.value:
    groups = codecs.read_runs(_RUNS.value)
    tables.append(codecs.quality_table(groups))
  codec_plot.plot(points, groups, picture)
  return tables, observations.of_updates(observations.CODECS, codecs.observed(points, _RUN.value), groups)


def _policies(picture: pathlib.Path) -> tuple[list[str], observations.Observations]:
  if _POLICIES.value is not None and not _RUN.value:
    raise failures.UsageError('--policies are for the clients of --run: name a finished run by it')
  measured, rows, groups, tables = [], [], [], []
  if _RUN.value:
    from experiments.comparisons import policy_measurement  # Imports TensorFlow, as those of codecs.
    from experiments.comparisons import trained_run

    specs = policy_measurement.listed(policy_measurement.SUITE if _POLICIES.value is None else _POLICIES.value)
    run = trained_run.read(pathlib.Path(_RUN.value))
    measured = policy_measurement.measure(run, specs)
    rows = policy_updates.observed(measured, _RUN.value, run.settings)
    tables += [policy_updates.table(measured), policy_updates.explanation(measured, run.settings)]
  if _RUNS.value:
    groups = policies.read_runs(_RUNS.value)
    tables.append(policies.table(groups))
  policy_plot.plot(measured, groups, picture)
  return tables, observations.of_updates(observations.POLICIES, rows, groups)


if __name__ == '__main__':
  launch.launch(main)
