"""The HTML page of a comparison of runs: one file that needs nothing else, readable on a phone, in light and dark."""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import html
import itertools
import math
import pathlib
import re
from typing import Any

from experiments.command import command_line
from experiments.command import given_objects
from experiments.comparisons import judges
from experiments.comparisons import page_script
from experiments.comparisons import paired_comparison
from experiments.comparisons import runs
from experiments.comparisons import table

_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --line: #d5dae0; --soft: #f3f5f7; --best: #e3f1ea; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e7eb; --back: #14171a; --line: #3a4149; --soft: #1f2429; --best: #17382a; }
}
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 84rem;
  margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .8rem; }
th, td { padding: .4rem .3rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
thead th { background: var(--soft); vertical-align: bottom; }
th:first-child { text-align: left; font-weight: 600; overflow-wrap: anywhere; min-width: 10rem; }
th code { display: block; font-size: .7rem; font-weight: 400; opacity: .8; }
tr.front { background: var(--best); }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem;
  align-items: start; }
figure { margin: 0; } figcaption { font-weight: 600; margin: .5rem 0; }
img { width: 100%; height: auto; background: #fff; border-radius: .4rem; padding: .4rem; border: 1px solid var(--line); }
details { border-bottom: 1px solid var(--line); padding: .5rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
summary code { display: block; font-size: .8rem; opacity: .8; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: .7rem; border-radius: .4rem;
  font-size: .8rem; }
dl { font-size: .85rem; margin: 0; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; overflow-wrap: anywhere; }
@media (max-width: 56rem) {
  thead { display: none; } table, tbody, tr, th, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: .4rem; margin-bottom: .8rem; padding: .3rem .6rem; }
  td { display: flex; justify-content: space-between; gap: 1rem; padding: .15rem 0; border: 0; }
  td:empty { display: none; } td::before { content: attr(data-name); opacity: .75; text-align: left; }
  tbody th { padding: .3rem 0; }
}
"""


def render(
  groups: Sequence[runs.Group],
  pictures: Mapping[str, pathlib.Path],
  left_out: Sequence[str] = (),
  target: float | None = None,
  paired: paired_comparison.Comparison | None = None,
) -> str:
  """Renders the page.

  Args:
    groups: What is compared; at least one.
    pictures: PNG files by title, which the page then holds.
    left_out: Sentences on runs that are not compared.
    target: See `comparison_table.columns`.
    paired: Each group against the reference; its notes follow the table.

  Returns:
    HTML; every text that comes from runs is escaped.
  """
  reference = runs.reference(groups)
  which = 'the first setting' if reference == 0 else 'the first setting that is finished and finite'
  title = f'{len(groups)} settings, {sum(len(group.runs) for group in groups)} runs'
  parts = [
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    f'<title>{_text(title)}</title>\n<style>{_STYLE}{page_script.STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>',
    f'<p>{groups[0].quality.name.capitalize()} on {groups[0].judges}, mean ± sample standard deviation over seeds. '
    'Megabytes are counted from the tensors that travelled. Shaded settings are on the Pareto front: no other is better '
    f'in the mean with as little upload. “Upload reduced” is against {which}, {_text(groups[reference].name)}.</p>',
    *(f'<p>{_text(sentence)}</p>' for sentence in [*left_out, *_warnings(groups)]),
    _table(groups, target, paired),
    *(f'<p>{_text(sentence)}</p>' for sentence in (paired.notes if paired else ())),
    '<h2>Pictures</h2>\n<p>Lines are means and bands reach from the lowest to the highest seed; so do bars.</p>',
    '<div class="pictures">' + '\n'.join(_picture(name, path) for name, path in pictures.items()) + '</div>',
    '<h2>To repeat a run</h2>',
    *(_repeat(index, group) for index, group in enumerate(groups, 1)),
    f'<script>{page_script.SCRIPT}</script>\n</body>\n</html>\n',
  ]
  return '\n'.join(parts)


def _text(text: str) -> str:
  return html.escape(text, quote=True)


def _cell(text: str) -> str:
  """Escapes a cell, which may be broken before the sign of a deviation and inside of an interval, not after a sign."""
  return re.sub(r'(±|to|&lt;) ', r'\1&nbsp;', _text(text))


def _setting(group: runs.Group) -> str:
  """Returns the name of a group, and below it the exact one, which may be broken after the signs of a spec."""
  return _text(group.name) + '<code>' + re.sub(r'([(,|])', r'\1<wbr>', _text(group.label)) + '</code>'


def _warnings(groups: Sequence[runs.Group]) -> list[str]:
  found, first = [], groups[0].runs[0]
  if not all(judges.evaluated_alike(first, run) for group in groups for run in group.runs):
    found.append('These runs have different data sets: their quality does not compare.')
  if any(group.num_diverged for group in groups):
    found.append('Some runs diverged: their settings have no mean and are not on the Pareto front.')
  if not all(group.finished for group in groups):
    found.append('Some runs are unfinished and count as far as they got; the column of rounds marks them.')
  return found


def _table(groups: Sequence[runs.Group], target: float | None, paired: paired_comparison.Comparison | None) -> str:
  columns = table.columns(groups[0].quality, target, paired, table.some_private(groups))
  rows_of = table.rows(groups, target, paired)
  # Columns without a cell are left out, such as the range where there is one seed.
  shown = [any(cell.text for cell in column) for column in zip(*rows_of, strict=True)]
  columns = ['setting', *itertools.compress(columns, shown)]
  header = ''.join(f'<th scope="col">{_text(name)}</th>' for name in columns)
  front = runs.pareto_front(groups)
  rows = []
  for index, (group, cells) in enumerate(zip(groups, rows_of, strict=True)):
    named = zip(columns[1:], itertools.compress(cells, shown), strict=True)
    row = ''.join(f'<td data-name="{_text(name)}"{_value(cell)}>{_cell(cell.text)}</td>' for name, cell in named)
    shade = ' class="front"' if index in front else ''
    rows.append(f'<tr{shade}><th scope="row">{_setting(group)}</th>{row}</tr>')
  return (
    f'{page_script.controls(columns)}\n<div class="wide"><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n'
    + '\n'.join(rows)
    + '\n</tbody>\n</table></div>'
  )


def _value(cell: table.TableCell) -> str:
  """Returns the attribute with the number by which a cell sorts; nothing where there is none."""
  return '' if cell.value is None or not math.isfinite(cell.value) else f' data-value="{cell.value!r}"'


def _picture(title: str, path: pathlib.Path) -> str:
  data = base64.b64encode(path.read_bytes()).decode()
  return (
    f'<figure><figcaption>{_text(title)}</figcaption>'
    f'<img alt="{_text(title)}" src="data:image/png;base64,{data}"></figure>'
  )


def _repeat(number: int, group: runs.Group) -> str:
  run = group.runs[0]
  facts = {
    'data set': run.config.get('dataset_hash'),
    'commits': ', '.join(sorted({commit for one in group.runs for commit in _commits(one.config)})),
    'versions': ', '.join(f'{name} {version}' for name, version in run.config.get('packages', {}).items()),
    'folders': ', '.join(str(one.folder) for one in group.runs),
  }
  listed = ''.join(f'<dt>{_text(name)}</dt><dd>{_text(str(fact))}</dd>' for name, fact in facts.items())
  command = _text(_command(number, group))
  return f'<details><summary>{_setting(group)}</summary>\n<pre>{command}</pre>\n<dl>{listed}</dl></details>'


def _commits(config: Mapping[str, Any]) -> list[str]:
  return [str(commit) for commit in (*config.get('earlier_commits', ()), config.get('git_commit'))]


def _command(number: int, group: runs.Group) -> str:
  """Returns a shell loop over seeds that repeats the runs of a group."""
  settings = {name: value for name, value in group.runs[0].settings.items() if name not in ('seed', 'output_dir')}
  binary = group.runs[0].config.get('binary', 'language_model')
  if binary is None or any(given_objects.is_recorded(value) for value in settings.values()):
    said = '\n'.join(f'  {name} = {value!r}' for name, value in settings.items() if value is not None)
    return f'runs of a script{f", by suite.{binary}" if binary else ""}, with\n{said}'
  seeds = ' '.join(str(run.settings['seed']) for run in group.runs)
  command = command_line.shell(binary, settings)
  return f'for seed in {seeds}; do\n  {command} --seed=$seed --output_dir=runs/repeated/{number}-seed$seed\ndone'
