"""Labelled texts of LEAF's files: users, labels, and what is held out."""

import json
import pathlib

import pytest

from data import errors
from data import holdout
from data import source
from data.sources import leaf_rows


def _users(found: source.LabelledSource) -> dict[str, set[str]]:
  """Returns the users by split."""
  splits: dict[str, set[str]] = {'train': set(), 'validation': set(), 'heldout': set()}
  for split, example in found.read():
    splits[split].add(example.client)
  return splits


def _leaf(file: pathlib.Path, user_data: dict[str, dict[str, list]]) -> None:
  file.parent.mkdir(parents=True, exist_ok=True)
  num_samples = [len(data['y']) for data in user_data.values()]
  file.write_text(json.dumps({'users': list(user_data), 'num_samples': num_samples, 'user_data': user_data}))


def test_leaf_has_users_and_labels(tmp_path: pathlib.Path):
  def row(text: str) -> list[str]:
    return ['1467810369', 'Mon Apr 06', 'NO_QUERY', 'someone', text, '0']

  users = {f'user{n}': {'x': [row('Sad. Today.'), row('happy')], 'y': [0, 4]} for n in range(20)}
  _leaf(tmp_path / 'a.json', users)
  found = leaf_rows.leaf_rows(path=str(tmp_path), field=4)
  assert (found.name, found.class_names, found.clients) == ('leaf', ('0', '4'), source.Clients.USERS)
  examples = [tuple(example) for _, example in found.read()]
  assert examples[:2] == [('user0', 'Sad. Today.', '0'), ('user0', 'happy', '4')]  # Each `x` is one example.
  # 20 users: 2 held out, and 1 of the other 18 validates.
  assert [len(users) for users in _users(found).values()] == [17, 1, 2]
  with pytest.raises(errors.DataError, match='field=4'):
    leaf_rows.leaf_rows(path=str(tmp_path))


def test_what_leaf_holds_out_stays(tmp_path: pathlib.Path):
  def data(text: str) -> dict[str, list]:
    return {'x': [text, f'no {text}'], 'y': ['good', 'bad']}

  _leaf(tmp_path / 'train' / 'a.json', {f'u{n}': data(f'train {n}') for n in range(10)})
  _leaf(tmp_path / 'test' / 'a.json', {f'u{n}': data(f'test {n}') for n in range(2)} | {'new': data('test new')})
  found = leaf_rows.leaf_rows(path=str(tmp_path))
  users = _users(found)
  (validating,) = holdout.choose_validation(f'u{n}' for n in range(10))  # 1 of 10, in both parts.
  assert users['validation'] == {validating}
  assert users['train'] == {f'u{n}' for n in range(10)} - {validating}
  assert users['heldout'] == {'u0', 'u1', 'new'} - {validating}


@pytest.mark.parametrize(
  ('y', 'said'), [(None, 'has the label null'), (0.5, 'has the label 0.5'), ('', 'has no label')]
)
def test_a_label_of_leaf_that_is_none_is_named_with_its_user(y, said, tmp_path: pathlib.Path):
  _leaf(tmp_path / 'a.json', {'anna': {'x': ['one', 'two'], 'y': ['a', y]}})
  with pytest.raises(errors.DataError, match=rf"a.json' user 'anna' {said}"):
    leaf_rows.leaf_rows(path=str(tmp_path))


def test_data_of_a_user_that_are_there_twice_are_refused(tmp_path: pathlib.Path):
  one = '{"x": ["a", "b"], "y": [0, 1]}'
  (tmp_path / 'a.json').write_text(f'{{"users": ["u", "v"], "user_data": {{"u": {one}, "v": {one}, "u": {one}}}}}')
  with pytest.raises(errors.DataError, match=r"a\.json' is not JSON \('u' is there twice\): make it again"):
    leaf_rows.leaf_rows(path=str(tmp_path))


def test_a_split_that_holds_out_no_text_is_refused(tmp_path: pathlib.Path):
  _leaf(tmp_path / 'train' / 'a.json', {'u': {'x': ['a', 'b'], 'y': [0, 1]}, 'v': {'x': ['c'], 'y': [0]}})
  _leaf(tmp_path / 'test' / 'b.json', {'w': {'x': [' '], 'y': [0]}})
  with pytest.raises(errors.DataError, match='says what is held out, and there is no text in it: give some there'):
    leaf_rows.leaf_rows(path=str(tmp_path))
