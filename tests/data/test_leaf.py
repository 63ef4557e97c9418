"""LEAF's JSON, in the forms that its Shakespeare and Sent140 scripts write."""

import json
import pathlib

import pytest

from data import errors
from data import leaf


def _write(file: pathlib.Path, user_data: dict[str, dict[str, list]]) -> None:
  """Writes a file as LEAF's scripts do."""
  file.parent.mkdir(parents=True, exist_ok=True)
  num_samples = [len(data['y']) for data in user_data.values()]
  file.write_text(json.dumps({'users': list(user_data), 'num_samples': num_samples, 'user_data': user_data}))


def _windows(line: str, length: int) -> dict[str, list[str]]:
  """LEAF's Shakespeare: every window of a text, and the character after it."""
  starts = range(len(line) - length)
  return {'x': [line[i : i + length] for i in starts], 'y': [line[i + length] for i in starts]}


def test_shakespeare_windows_become_the_lines_they_were_cut_from(tmp_path: pathlib.Path):
  first, second = 'To be, or not to be, that is the question. Whether', 'Words, words, words! And more of them to come'
  data = _windows(first, 20)
  for key, more in _windows(second, 20).items():
    data[key] += more
  _write(tmp_path / 'train' / 'all_data_0.json', {'HAMLET': data})
  _write(tmp_path / 'test' / 'all_data_0.json', {'HAMLET': _windows('The rest is silence, my lord.', 20)})
  found = list(leaf.leaf(path=str(tmp_path)).read())
  assert [example.text for split, example in found if split == 'train'] == [
      'To be, or not to be, that is the question.', 'Whether', 'Words, words, words!', 'And more of them to come',
  ]  # fmt: skip
  assert [tuple(example) for split, example in found if split == 'heldout'] == [
    ('HAMLET', 'The rest is silence, my lord.', None)
  ]


def test_sent140_names_its_text_by_field_and_has_labels(tmp_path: pathlib.Path):
  row = ['1467810369', 'Mon Apr 06', 'NO_QUERY', 'someone', 'so sad today', '0']
  users = {f'user{number}': {'x': [row, row], 'y': [0, 4]} for number in range(20)}
  _write(tmp_path / 'a.json', users | {'nobody': {'x': [], 'y': []}})
  with pytest.raises(errors.DataError, match='field=4'):
    list(leaf.leaf(path=str(tmp_path)).read())
  found = list(leaf.leaf(path=str(tmp_path), field=4).read())
  assert len([1 for split, _ in found if split == 'heldout']) == 2 * 2
  assert {tuple(example)[1:] for _, example in found} == {('so sad today', '0'), ('so sad today', '4'), ('', None)}
  assert [split for split, example in found if example.client == 'nobody'] == ['train']


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    ('{', 'is not JSON'),
    ('[]', 'has no "users"'),
    ('{"users": ["a"], "user_data": {}}', 'no lists "x" and "y" for user \'a\''),
    ('{"users": [["a"]], "user_data": {}}', 'no lists'),
    ('{"users": ["a"], "user_data": {"a": {"x": ["b"], "y": []}}}', 'different lengths'),
    ('{"users": ["a"], "user_data": {"a": {"x": [5], "y": [1]}}}', 'not text'),
  ],
)
def test_a_malformed_file_is_named(content: str, said: str, tmp_path: pathlib.Path):
  (tmp_path / 'broken.json').write_text(content)
  with pytest.raises(errors.DataError, match=said) as raised:
    list(leaf.leaf(path=str(tmp_path)).read())
  assert 'broken.json' in str(raised.value)


def test_a_file_or_an_empty_part_is_refused(tmp_path: pathlib.Path):
  _write(tmp_path / 'train' / 'a.json', {})
  (tmp_path / 'test').mkdir()
  with pytest.raises(errors.DataError, match=r'no .json file'):
    leaf.leaf(path=str(tmp_path))
  with pytest.raises(errors.DataError, match='is a file'):
    leaf.leaf(path=str(tmp_path / 'train' / 'a.json'))
