"""The measurements behind `--what=policies`: quality against the part of the model that clients trained, over runs."""

from collections.abc import Mapping
from collections.abc import Sequence
import re
import statistics
from typing import Any

from experiments.comparisons import labels
from experiments.comparisons import megabytes
from experiments.comparisons import runs
from experiments.comparisons import varied_flags
from experiments.results import markdown_table
from experiments.results import picture

_FLAGS = ('model', 'trainable', 'download')


def read_runs(patterns: Sequence[str]) -> list[runs.Group]:
  """Gathers finished runs that differ in `--model`, `--trainable`, `--download` and the seed; by model, most trained first.

  Raises:
    UsageError: As `varied_flags.read`.
  """
  groups = varied_flags.read(patterns, _FLAGS)
  return sorted(groups, key=lambda group: (_setting(group, 'model'), -trained_fraction(group)))


def trained_fraction(group: runs.Group) -> float:
  """Returns the mean over clients, rounds and seeds of the fraction of parameters that a client trained."""
  return statistics.mean(row['trained_fraction'] for run in group.runs for row in run.rows if row['round'])


def table(groups: Sequence[runs.Group]) -> str:
  """Renders groups of `read_runs` as a Markdown table with every seed's perplexity."""
  rows = (
    [
      *(f'`{_setting(group, name)}`' for name in _FLAGS),
      f'{trained_fraction(group):.3f}',
      *(megabytes.text(group.spread(of).mean) for of in (runs.upload_bytes, runs.download_bytes)),
      *varied_flags.perplexity_cells(group),
    ]
    for group in groups
  )
  header = [*_FLAGS, 'trained fraction', 'MB up', 'MB down', *varied_flags.PERPLEXITY_COLUMNS]
  return markdown_table.render(header, rows)


def _setting(group: runs.Group, name: str) -> str:
  return group.runs[0].settings[name]


def draw(axes: Any, groups: Sequence[runs.Group]) -> None:
  """Draws perplexity against the trained fraction, a line for each model and kind of policy."""
  lines = dict(sorted(_lines(groups).items()))
  names = labels.plain([{'model': model, 'trainable': kind} for model, kind in lines]) if lines else []
  for index, (name, members) in enumerate(zip(names, lines.values(), strict=True)):
    _line(axes, name, members, picture.style(index))
  axes.set(xlabel='parameters trained by a client, mean fraction', yscale='log')
  axes.set_ylabel('perplexity on held-out clients (bars: all seeds)')
  picture.write_numbers(axes.yaxis)
  axes.grid(alpha=0.3, which='both')
  if len(lines) > 1:
    axes.legend()


def _lines(groups: Sequence[runs.Group]) -> dict[tuple[str, str], list[runs.Group]]:
  """Groups by model and policy without its fraction; training everything is the end of every line of its model."""
  lines: dict[tuple[str, str], list[runs.Group]] = {}
  for group in groups:
    if _setting(group, 'trainable') != 'all':
      kind = re.sub(r'fraction=[^,)]*,? ?', '', _setting(group, 'trainable')).replace('()', '')
      lines.setdefault((_setting(group, 'model'), kind), []).append(group)
  whole = {_setting(group, 'model'): group for group in groups if _setting(group, 'trainable') == 'all'}
  return {key: [*([whole[key[0]]] if key[0] in whole else []), *members] for key, members in lines.items()}


def _line(axes: Any, name: str, groups: Sequence[runs.Group], style: Mapping[str, Any]) -> None:
  spreads = [group.spread(runs.quality) for group in groups]
  means = [spread.mean for spread in spreads]
  bars = [[spread.mean - spread.low for spread in spreads], [spread.high - spread.mean for spread in spreads]]
  axes.errorbar([trained_fraction(group) for group in groups], means, yerr=bars, capsize=3, label=name, **style)
