"""Files of a user's own that change under way, and labels that are odd or many."""

import csv
import pathlib
import time

import pytest

from data import errors
from data.sources import csv_rows


def _csv(folder: pathlib.Path, rows: list[tuple[str, str]]) -> str:
  with (folder / 'own.csv').open('w', encoding='utf-8', newline='') as file:
    csv.writer(file).writerows([('text', 'label'), *rows])
  return str(folder / 'own.csv')


@pytest.mark.parametrize('later', [[('one', 'b'), ('two', 'a'), ('three', 'a')], [('four', 'a')], None])
def test_a_file_that_changes_without_a_new_label_is_refused_too(
  later: list[tuple[str, str]] | None, tmp_path: pathlib.Path
):
  path = _csv(tmp_path, [('one', 'a'), ('two', 'a'), ('three', 'b')])
  found = csv_rows.csv_rows(path=path)
  if later is None:
    pathlib.Path(path).unlink()
  else:
    _csv(tmp_path, later)
  with pytest.raises(errors.DataError, match=r'has changed while it was read: start again|cannot read') as raised:
    list(found.read())
  assert len(str(raised.value).splitlines()) == 1


def test_labels_that_look_alike_are_told_apart(tmp_path: pathlib.Path):
  labels = ['a', 'a\u200b', 'e\u0301', '\u00e9', '\u65e5', 'x\x1b[31m']
  rows = [(f'{number} {n}', label) for n, label in enumerate(labels) for number in range(2)]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows))
  # Those of one look, or that a terminal would obey, are spelled out; others stay as they are. Two texts of each.
  assert found.summary.startswith(
    '12 texts of 6 classes (a: 2, a\\u200b: 2, e\\u0301: 2, x\\x1b[31m: 2, \\xe9: 2, \u65e5: 2; some look alike); '
  )


def test_ten_thousand_classes_take_a_second(tmp_path: pathlib.Path):
  rows = [(f'text {number}', f'{number // 2}') for number in range(20_000)]
  path = _csv(tmp_path, rows)
  begun = time.process_time()
  assert len(csv_rows.csv_rows(path=path).class_names) == 10_000
  assert time.process_time() - begun < 10  # Looking at all rows for each class took 30 seconds.


def test_a_summary_says_that_only_some_texts_are_kept(tmp_path: pathlib.Path):
  path = _csv(tmp_path, [(f'text {number}', 'ab'[number % 2]) for number in range(4)])
  # One of two texts of each class is held out.
  assert csv_rows.csv_rows(path=path, max_examples=1000).summary == (
    '4 texts of 2 classes (a: 2, b: 2); texts that train 2, validate 0, are held out 2; of texts that train 1,000 at most '
    'are kept'
  )
