"""What a terminal shows of Markdown: aligned, no wider than it, and no cell lost."""

import pytest

from experiments.results import markdown_table
from experiments.results import terminal

_HEADER = ['setting', 'MB up', 'quality on clients', 'empty', 'note']
_ROWS = [['`clip|sign`', '1.5', '**120.0**', '', 'yes'], ['`identity`', '1,033.6', '< 0.1', '', '']]


def test_columns_are_aligned_and_free_of_marks():
  assert terminal.text(markdown_table.render(_HEADER, _ROWS), 80).splitlines() == [
    '                    quality',
    '                         on',
    'setting      MB up  clients  note',
    '---------  -------  -------  ----',
    'clip|sign      1.5    120.0  yes',
    'identity   1,033.6    < 0.1',
  ]


def test_a_table_without_names_has_no_header():
  assert (
    terminal.text(markdown_table.render(['', ''], [['rounds', '3'], ['loss', '10']]), 80) == 'rounds   3\nloss    10'
  )


@pytest.mark.parametrize('width', [20, 33, 50, 80, 200])
def test_nothing_is_wider_than_the_terminal_and_no_cell_is_lost(width):
  header = ['setting', *(f'name {index} of a column' for index in range(9))]
  rows = [[f'`random(fraction=0.{row})`', *(f'{row}{index}.5' for index in range(9))] for row in range(3)]
  text = terminal.text(f'{markdown_table.render(header, rows)}\n\n{"Words of a note. " * 9}', width)
  assert max(map(len, text.splitlines())) <= width
  for row in range(3):
    assert all(text.count(f'{row}{index}.5') == 1 for index in range(9))
