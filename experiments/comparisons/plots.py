"""The pictures of a comparison of runs, as PNG files."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import pathlib
import textwrap
from typing import Any

from experiments.comparisons import megabytes
from experiments.comparisons import runs
from experiments.comparisons import series as comparison_series
from experiments.results import picture
from experiments.results import point_labels

WIDTH, HEIGHT = 5.4, 3.6  # Inches: a phone shows the picture at half its size.
_DPI = 150
_LEGEND_LINE = 0.19  # Inches.
_NAME_WIDTH = 64  # Characters of a line of the legend.
_TITLES = {
  'rounds': '{} against rounds',
  'upload': '{} against megabytes uploaded',
  'download': '{} against megabytes downloaded',
  'pareto': 'Final {} against megabytes uploaded',
  'clients': 'Final {} against clients a round',
  'epsilon': 'Final {} against epsilon',
}


def draw(groups: Sequence[runs.Group], folder: pathlib.Path) -> dict[str, pathlib.Path]:
  """Draws all pictures into a folder.

  Args:
    groups: What is compared, in the order of colours and legends.
    folder: Gets `download.png`, `pareto.png`, if a run was evaluated more than once `rounds.png` and `upload.png`, and,
      if groups differ in it, `clients.png`; `epsilon.png` if one is private.

  Returns:
    The files by title.
  """
  names = [group.name for group in groups]
  paths = {name: folder / f'{name}.png' for name in _TITLES}
  if any(len(run.points) > 1 for group in groups for run in group.runs):
    _picture(groups, names, paths['rounds'], 'round', _by(lambda point: point.round, logarithmic=False))
    _picture(groups, names, paths['upload'], 'MB uploaded by all clients so far', _sent(runs.upload_bytes))
  else:
    del paths['rounds'], paths['upload']  # Of single points, which `pareto` shows.
  _picture(groups, names, paths['download'], 'MB downloaded by all clients so far', _sent(runs.download_bytes))
  _picture(groups, names, paths['pareto'], 'MB uploaded by all clients', _front)
  if len({group.clients_per_round for group in groups}) > 1:
    series = comparison_series.by_clients(groups)
    _picture(groups, list(series), paths['clients'], 'clients in a round', _clients(series))
  else:
    del paths['clients']
  if any(math.isfinite(group.epsilon) for group in groups):
    _picture(groups, names, paths['epsilon'], 'epsilon; beside the points MB uploaded', _private, _write_megabytes)
  else:
    del paths['epsilon']
  titles = {name: title.format(groups[0].quality.name) for name, title in _TITLES.items()}
  return {titles[name][0].upper() + titles[name][1:]: path for name, path in paths.items()}


_Draw = Callable[[Any, Sequence[runs.Group]], None]
_Measure = Callable[[runs.Point], float]


def _picture(
  groups: Sequence[runs.Group],
  names: Sequence[str],
  path: pathlib.Path,
  xlabel: str,
  draw_on: _Draw,
  write_on: _Draw | None = None,
) -> None:
  """Draws a picture; `write_on` is called last, when the places of everything are known."""
  names = [textwrap.fill(name, _NAME_WIDTH) for name in names]
  longest = max(len(line) for name in names for line in name.splitlines())
  columns = 1 if longest > _NAME_WIDTH // 2 - 4 else 2
  lines = sum(name.count('\n') + 1 for name in names) / columns
  figure = picture.blank(WIDTH, HEIGHT + _LEGEND_LINE * lines, _DPI)
  axes = figure.subplots()
  draw_on(axes, groups)
  quality = groups[0].quality
  # Ratios of perplexities are what counts, and differences of accuracies.
  scale = 'linear' if quality.higher_is_better else 'log'
  axes.set(xlabel=xlabel, ylabel=f'{quality.name} on {groups[0].judges}', yscale=scale)
  if not all(map(math.isfinite, axes.dataLim.bounds)):  # Nothing to show, as where every run diverged.
    axes.set(xscale='linear', yscale='linear')
  picture.write_numbers(axes.xaxis)
  picture.write_numbers(axes.yaxis)
  axes.grid(alpha=0.3, which='both')
  handles = axes.get_legend_handles_labels()[0]
  figure.legend(handles[: len(names)], names, loc='outside lower center', ncols=columns, fontsize=8, frameon=False)
  if write_on:
    write_on(axes, groups)
  figure.savefig(path)


def _sent(measure: _Measure) -> _Draw:
  return _by(lambda point: measure(point) / 1e6, logarithmic=True)


def _by(x: _Measure, logarithmic: bool) -> _Draw:
  """Returns what draws a line of means with a band from the lowest to the highest seed for each group."""

  def draw_on(axes: Any, groups: Sequence[runs.Group]) -> None:
    for index, group in enumerate(groups):
      places = [spread.mean for spread in group.curve(x)]
      values = group.curve(runs.quality)
      # A logarithmic axis has no place for the initial model, for which nothing was sent.
      shown = [(place, value) for place, value in zip(places, values, strict=True) if place > 0 or not logarithmic]
      places, means = [place for place, _ in shown], [value.mean for _, value in shown]
      style = picture.style(index)
      axes.plot(places, means, markersize=3.5, linewidth=1.4, label=group.name, **style)
      low, high = [value.low for _, value in shown], [value.high for _, value in shown]
      axes.fill_between(places, low, high, color=style['color'], alpha=0.15, linewidth=0)
    if logarithmic:
      axes.set_xscale('log')

  return draw_on


def _front(axes: Any, groups: Sequence[runs.Group]) -> None:
  """Draws a point for each group with a bar from the lowest to the highest seed, and the front as a line."""
  front = []
  on_front = runs.pareto_front(groups)
  for index, group in enumerate(groups):
    sent = group.spread(runs.upload_bytes).mean / 1e6
    value = group.spread(runs.quality)
    style = picture.style(index) | {'linestyle': ''}
    means, bars = _means_and_bars([value])
    axes.errorbar([sent], means, yerr=bars, capsize=3, markersize=6, label=group.name, **style)
    if index in on_front:
      front.append((sent, value.mean))
  axes.plot(*zip(*sorted(front), strict=True), color='gray', linewidth=1, zorder=0, drawstyle='steps-post')
  axes.set_xscale('log')


def _private(axes: Any, groups: Sequence[runs.Group]) -> None:
  """Draws a point for each private group with a bar from the lowest to the highest seed, a line for each other one."""
  for index, group in enumerate(groups):
    style, (means, bars) = picture.style(index), _means_and_bars([group.spread(runs.quality)])
    if math.isfinite(group.epsilon):
      style |= {'linestyle': ''}
      axes.errorbar([group.epsilon], means, yerr=bars, capsize=3, markersize=6, label=group.name, **style)
    else:
      axes.axhline(means[0], color=style['color'], linestyle='--', linewidth=1.2)
      # Of the kind that the others are: a legend has all lines before all points.
      axes.errorbar([], [], color=style['color'], linestyle='--', linewidth=1.2, label=group.name)
  axes.set_xscale('log')
  axes.margins(x=0.12)  # Room for what is written beside points.


def _write_megabytes(axes: Any, groups: Sequence[runs.Group]) -> None:
  """Writes beside each private group's point what it sent."""
  points, texts, colours, bars = [], [], [], []
  for index, group in enumerate(groups):
    value = group.spread(runs.quality)
    place = (group.epsilon, value.mean)
    if all(map(math.isfinite, place)):
      points.append(place)
      bars.append([(group.epsilon, value.low), (group.epsilon, value.high)])
      texts.append(megabytes.text(group.spread(runs.upload_bytes).mean, 0))
      colours.append(picture.style(index)['color'])
  point_labels.write(axes, points, texts, colours, bars)


def _means_and_bars(values: Sequence[runs.Spread]) -> tuple[list[float], list[list[float]]]:
  """Returns the means, and how far they are from the lowest and the highest seed; NaN and 0 where a seed diverged."""
  means = [value.mean if math.isfinite(value.mean) else math.nan for value in values]
  bars = [
    (value.mean - value.low, value.high - value.mean) if math.isfinite(value.mean) else (0.0, 0.0) for value in values
  ]
  return means, [list(side) for side in zip(*bars, strict=True)]


def _clients(series: Mapping[str, Sequence[runs.Group]]) -> _Draw:
  """Returns what draws a line of means, with bars from the lowest to the highest seed, over the number of clients."""

  def draw_on(axes: Any, groups: Sequence[runs.Group]) -> None:
    del groups
    for index, (label, members) in enumerate(series.items()):
      means, bars = _means_and_bars([group.spread(runs.quality) for group in members])
      places = [group.clients_per_round for group in members]
      axes.errorbar(
        places, means, yerr=bars, capsize=3, markersize=4, linewidth=1.4, label=label, **picture.style(index)
      )
    axes.set_xscale('log')

  return draw_on
