"""Compares what was measured.

Questions: what quality did settings reach for how many rounds and megabytes, which codec buys most quality for a byte,
and how much of a model must a client train?

    python -m experiments.compare --runs='runs/combination/*' --output_dir=runs/combination_compared
    python -m experiments.compare --what=codecs --run=runs/quickstart --runs=runs/codecs --output_dir=runs/comparison
    python -m experiments.compare --what=codecs --run=runs/quickstart --codecs='all; uniform(bits=3)' --output_dir=runs/comparison
    python -m experiments.compare --what=policies --runs=runs/partial --output_dir=runs/comparison
    python -m experiments.compare --what=policies --run=runs/quickstart --policies='suite; lora(rank=4)' --output_dir=runs/comparison

--what=runs takes any runs that are judged by one measure, finished or not, gathers those that differ in --seed only, and leaves
index.html (one file with everything in it), comparison.md, and two to six pictures. It tells by how much
each setting differs from the first that is finished and finite, with an interval and a p-value over the held-out clients or
examples that judged them; last, it prints which setting uploads least and is as good. The other two compare runs that
differ in --upload (codecs), or --model, --trainable and --download (policies), and --seed only, and leave a table and a
picture; `--run` is a finished run whose model trains once more: on one client, and every codec encodes that update, or on a
few clients by every policy. --csv=FILE keeps what the tables rest on, one observation a row.
"""

from collections.abc import Mapping
import math
import pathlib
from typing import Any

from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.comparisons import csv_file
from experiments.comparisons import judges
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

FLAGS = flag_table.FlagTable('compare')
FLAGS.enum('what', 'runs', ['runs', 'codecs', 'policies'], 'What to compare.')
FLAGS.string('run', None, 'A finished run, whose model gives the update that codecs encode, or is trained by policies.')
FLAGS.multi_string(
  'runs',
  [],
  "Folders of runs, such as 'runs/x/*' in quotes, or a folder above runs; repeatable.",
)
FLAGS.string(
  'codecs',
  None,
  "Which codecs encode the update of --run, separated by ';', where all stands for the suite's; by default all.",
)
FLAGS.string(
  'policies',
  None,
  "Which policies clients of --run train by, separated by ';', where suite stands for the suite's; by default suite.",
)
FLAGS.bool(
  'allow_different_data', False, 'Compare runs of different data sets, although their quality does not compare.'
)
FLAGS.float(
  'target', None, 'A perplexity or accuracy: --what=runs then tells after how many rounds and megabytes it was reached.'
)
FLAGS.string(
  'csv', None, 'A file for what the tables rest on, one observation a row: every run at every evaluation, every codec.'
)
FLAGS.string('output_dir', None, 'Folder for the page, the pictures and the tables.')


def main(given: Mapping[str, Any]) -> None:
  """Measures, prints and draws what the flags name."""
  if not given['output_dir'] or not (given['run'] or given['runs']):
    raise failures.UsageError('name --output_dir and at least one of --run and --runs')
  if given['target'] is not None and not math.isfinite(given['target']):
    raise failures.UsageError(f'--target={given["target"]} is no quality: name a finite perplexity or accuracy')
  if given['csv']:
    csv_file.check(pathlib.Path(given['csv']))
  output_dir = pathlib.Path(given['output_dir'])
  for what in ('codecs', 'policies'):
    if given[what] is not None and given['what'] != what:
      raise failures.UsageError(f'--{what} are for --what={what}, and this is --what={given["what"]}')
  if given['what'] == 'runs':
    _compare_runs(given, output_dir)
    return
  output.make(output_dir)
  picture = output_dir / f'{given["what"]}.png'
  tables, observed = _codecs(given, picture) if given['what'] == 'codecs' else _policies(given, picture)
  (output_dir / f'{given["what"]}.md').write_text('\n\n'.join(tables) + '\n')
  terminal.show('\n\n'.join(tables))
  print(f'the picture is {picture}')
  _write_csv(given['csv'], observed)


def _compare_runs(given: Mapping[str, Any], output_dir: pathlib.Path) -> None:
  if not given['runs']:
    raise failures.UsageError("--what=runs compares runs: name their folders, for example --runs='runs/x/*'")
  found, left_out = readable_runs.find(given['runs'])
  if not given['allow_different_data']:
    judges.check_same_data(found)
  groups = runs.groups(found)
  paired = paired_comparison.compare(groups) if len(groups) > 1 else None
  output.make(output_dir)
  readable_runs.say(left_out)
  target, notes = given['target'], paired.notes if paired else ()
  exact = comparison_table.markdown(groups, [f'`{group.label}`' for group in groups], target, paired)
  output.write_text(output_dir / 'comparison.md', '\n\n'.join([exact, *notes]) + '\n')
  pictures = plots.draw(groups, output_dir)
  output.write_text(output_dir / 'index.html', comparison_page.render(groups, pictures, left_out, target, paired))
  plain = comparison_table.markdown(groups, [group.name for group in groups], target, paired)
  terminal.show('\n\n'.join(filter(None, [plain, *notes, savings.table(groups)])))
  print(f'the page is {output_dir / "index.html"}')
  _write_csv(given['csv'], observations.of_runs(groups))


def _write_csv(path: str | None, observed: observations.Observations) -> None:
  if path:
    csv_file.write(pathlib.Path(path), observed)
    print(f'{len(observed.rows)} observations are in {path}')


def _codecs(given: Mapping[str, Any], picture: pathlib.Path) -> tuple[list[str], observations.Observations]:
  # These two import TensorFlow, which the other comparisons do not wait for.
  from experiments.comparisons import client_update
  from experiments.comparisons import codec_plot
  from experiments.comparisons import codecs

  if given['codecs'] is not None and not given['run']:
    raise failures.UsageError('--codecs encode the update of --run: name a finished run by it')
  points, groups, tables = [], [], []
  if given['run']:
    specs = codecs.listed(codecs.ALL if given['codecs'] is None else given['codecs'])
    points = codecs.measure_update(client_update.of_run(pathlib.Path(given['run'])), specs)
    tables.append(codecs.points_table(points))
  if given['runs']:
    groups = codecs.read_runs(given['runs'])
    tables.append(codecs.quality_table(groups))
  codec_plot.plot(points, groups, picture)
  return tables, observations.of_updates(observations.CODECS, codecs.observed(points, given['run']), groups)


def _policies(given: Mapping[str, Any], picture: pathlib.Path) -> tuple[list[str], observations.Observations]:
  if given['policies'] is not None and not given['run']:
    raise failures.UsageError('--policies are for the clients of --run: name a finished run by it')
  measured, rows, groups, tables = [], [], [], []
  if given['run']:
    from experiments.comparisons import policy_measurement  # Imports TensorFlow, as those of codecs.
    from experiments.comparisons import trained_run

    specs = policy_measurement.listed(policy_measurement.SUITE if given['policies'] is None else given['policies'])
    run = trained_run.read(pathlib.Path(given['run']))
    measured = policy_measurement.measure(run, specs)
    rows = policy_updates.observed(measured, given['run'], run.settings)
    tables += [policy_updates.table(measured), policy_updates.explanation(measured, run.settings)]
  if given['runs']:
    groups = policies.read_runs(given['runs'])
    tables.append(policies.table(groups))
  policy_plot.plot(measured, groups, picture)
  return tables, observations.of_updates(observations.POLICIES, rows, groups)


if __name__ == '__main__':
  launch.launch(main, FLAGS)
