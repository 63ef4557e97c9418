"""Markdown tables."""

from collections.abc import Iterable
from collections.abc import Sequence


def render(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Renders a table.

  Args:
    header: The names of the columns.
    rows: A cell for each column; bars and line breaks inside a cell do not end it.

  Returns:
    Lines without a final line break.
  """
  return '\n'.join([_line(header), '|' + '---|' * len(header), *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
  return '| ' + ' | '.join(' '.join(cell.replace('|', '\\|').split()) for cell in cells) + ' |'
