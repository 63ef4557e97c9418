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


@pytest.mark.parametrize(
  ('cell', 'is_number'),
  [
    ('+9.18 ± 2.44', True), ('418.7 to 494.6', True), ('< 0.001', True), ('1,033.6', True), ('1.0x', True), ('4e-08', True),
    ('30.1 (29.9-31)', True), ('0, 1, 2', True), ('reference', False), ('1.5 MB', False), ('2 to 4 of 4, unfinished', False),
  ],
)  # fmt: skip
def test_numbers_stand_at_the_right(cell, is_number):
  longest = '+1,234,567.89 ± 2,345.67'
  first, _ = terminal.text(markdown_table.render(['', ''], [['a', cell], ['b', longest]]), 80).splitlines()
  assert first == 'a  ' + (cell.rjust(len(longest)) if is_number else cell)


@pytest.mark.parametrize('width', [20, 33, 50, 80, 200])
def test_nothing_is_wider_than_the_terminal_and_no_cell_is_lost(width):
  header = ['setting', *(f'name {index} of a column' for index in range(9))]
  rows = [[f'`random(fraction=0.{row})`', *(f'{row}{index}.5' for index in range(9))] for row in range(3)]
  text = terminal.text(f'{markdown_table.render(header, rows)}\n\n{"Words of a note. " * 9}', width)
  assert max(map(len, text.splitlines())) <= width
  for row in range(3):
    assert all(text.count(f'{row}{index}.5') == 1 for index in range(9))
