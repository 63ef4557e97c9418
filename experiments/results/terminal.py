"""Markdown as a terminal shows it: tables in aligned columns, and nothing wider than it."""

from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import re
import shutil
import textwrap

_ELSEWHERE = (120, 24)  # Columns and lines where there is no terminal, such as in a pipe.
_BETWEEN = '  '  # Columns.
_HEADER_LINES = 3
_NUMBER = re.compile(r'[-+<±0-9.,ex%() ]*( to [-+0-9.,e]+)?')


def show(markdown: str) -> None:
  """Prints tables, as `markdown_table.render` writes them, and paragraphs."""
  print(text(markdown, shutil.get_terminal_size(_ELSEWHERE).columns), flush=True)


def text(markdown: str, width: int) -> str:
  """Returns what `show` prints on a terminal of so many characters a line.

  Columns without a cell are left out. A table that is too wide is cut into several, one below the other, and each repeats the first column.
  """
  lines: list[str] = []
  for kind, part in itertools.groupby(markdown.splitlines(), bool):
    if not kind:
      lines += part
      continue
    first, *rest = part
    if first.startswith('|'):
      header, _, *rows = map(_cells, [first, *rest])
      lines += _table(header, rows, width)
    else:
      lines += textwrap.wrap(' '.join([first, *rest]), width, break_long_words=False, break_on_hyphens=False)
  return '\n'.join(lines)


def _cells(line: str) -> list[str]:
  cells = re.split(r'(?<!\\)\|', line.strip()[1:-1])
  return [re.sub(r'`|\*\*', '', cell.replace('\\|', '|')).strip() for cell in cells]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
  shown = [index for index in range(len(header)) if not index or any(row[index] for row in rows)]
  header, rows = [header[index] for index in shown], [[row[index] for index in shown] for row in rows]
  columns = zip(header, *rows, strict=True)
  widths = [max(_header_width(name), *map(len, cells), 1) for name, *cells in columns]
  if sum(widths) + len(_BETWEEN) * (len(widths) - 1) > width:
    widths = [min(each, max(width // 3, 12)) for each in widths]
  to_the_right = [index > 0 and all(map(_is_number, (row[index] for row in rows))) for index in range(len(header))]
  for number, columns in enumerate(_blocks(widths, width)):
    if number:
      yield ''
    if any(header):
      yield from _row([header[index] for index in columns], columns, widths, to_the_right, at_the_bottom=True)
      yield _BETWEEN.join('-' * widths[index] for index in columns)
    for row in rows:
      yield from _row([row[index] for index in columns], columns, widths, to_the_right)


def _header_width(name: str) -> int:
  """Returns the least width at which the name of a column takes no more than so many lines."""
  longest = max(map(len, name.split()), default=0)
  return next(
    (width for width in range(longest, len(name)) if len(textwrap.wrap(name, width)) <= _HEADER_LINES), len(name)
  )


def _is_number(cell: str) -> bool:
  return _NUMBER.fullmatch(cell) is not None


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
  """Returns the columns of each part of a table: the first one, and as many others as have room."""
  blocks = [[0]]
  for index in range(1, len(widths)):
    taken = sum(widths[other] + len(_BETWEEN) for other in blocks[-1]) + widths[index]
    if taken > width and len(blocks[-1]) > 1:
      blocks.append([0])
    blocks[-1].append(index)
  return blocks


def _row(
  cells: Sequence[str],
  columns: Sequence[int],
  widths: Sequence[int],
  to_the_right: Sequence[bool],
  at_the_bottom: bool = False,
) -> Iterator[str]:
  """Yields the lines of a row, whose cells may need several."""
  wrapped = [textwrap.wrap(cell, widths[index]) or [''] for cell, index in zip(cells, columns, strict=True)]
  height = max(map(len, wrapped))
  for cell in wrapped:
    missing = [''] * (height - len(cell))
    cell[:] = missing + cell if at_the_bottom else cell + missing
  for parts in zip(*wrapped, strict=True):
    aligned = (
      part.rjust(widths[index]) if to_the_right[index] else part.ljust(widths[index])
      for part, index in zip(parts, columns, strict=True)
    )
    yield _BETWEEN.join(aligned).rstrip()
