"""What the suite's pictures have in common: an empty figure, styles of lines, and numbers along logarithmic axes."""

import math
from typing import Any

# Told apart by people with any kind of colour vision (Okabe and Ito 2008), without the yellow that white swallows.
_COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#000000')
_LINES = ('-', '--', ':', '-.')
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
_WIDE = 20.0  # From here on, 1, 2 and 5 are the only numbers of a decade.
_WIDEST = 1000.0  # From here on, powers of ten are.
_PLAIN = 1e-3  # Smaller numbers are written as powers of ten.


def blank(width: float, height: float, dpi: int = 120) -> Any:
  """Returns an empty `matplotlib.figure.Figure` whose parts make room for each other.

  Args:
    width: Inches; `height` likewise.
    height: See `width`.
    dpi: Dots an inch of the file that `savefig` writes.
  """
  from matplotlib import figure  # Slow to import, and needed once, at the end.

  return figure.Figure(figsize=(width, height), dpi=dpi, layout='constrained')


def style(index: int) -> dict[str, Any]:
  """Returns the colour, line and marker of the line with a number, from 0; the first 28 differ."""
  return {
    'color': _COLOURS[index % len(_COLOURS)],
    'linestyle': _LINES[index // len(_COLOURS) % len(_LINES)],
    'marker': _MARKERS[(index + index // len(_COLOURS)) % len(_MARKERS)],
  }


def write_numbers(axis: Any) -> None:
  """Gives an axis, if it is logarithmic, as many plain numbers as have room beside each other."""
  from matplotlib import ticker

  if axis.get_scale() != 'log':
    return
  low, high = axis.get_view_interval()
  axis.set_major_formatter(_formatter())
  if high > _WIDEST * low:
    axis.set_minor_formatter(ticker.NullFormatter())
  elif high > _WIDE * low:
    axis.set_minor_locator(ticker.LogLocator(subs=(2.0, 5.0)))
    axis.set_minor_formatter(_formatter(minor_thresholds=(math.inf, math.inf)))
  else:
    axis.set_minor_formatter(_formatter(minor_thresholds=(2, 0.5)))


def _formatter(**options: Any) -> Any:
  """Returns a formatter of a logarithmic axis that writes 200 where matplotlib would write 2 x 10^2."""
  from matplotlib import ticker

  class Plain(ticker.LogFormatter):
    def __call__(self, value: float, position: int | None = None) -> str:
      return _written(value) if super().__call__(value, position) else ''

  return Plain(**options)


def _written(value: float) -> str:
  if value >= _PLAIN:
    return f'{value:,g}'
  exponent = math.floor(math.log10(value) + 1e-9)
  times = f'{value / 10.0**exponent:g}'
  return f'$10^{{{exponent}}}$' if times == '1' else f'${times} \\cdot 10^{{{exponent}}}$'
