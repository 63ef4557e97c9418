"""LEAF's JSON, in the forms that its Shakespeare and Sent140 scripts write."""

import contextlib
import json
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import pytest

from data import errors
from data.sources import leaf


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
    ('{"users": [["a"]], "user_data": {}}', r'lists the user \["a"\], which is neither text nor a whole number'),
    ('{"users": [1.5], "user_data": {}}', 'lists the user 1.5, which is neither'),
    ('{"users": [true], "user_data": {}}', 'lists the user true, which is neither'),
    ('{"users": [null], "user_data": {}}', 'lists the user null, which is neither'),
    ('{"users": [], "user_data": {"a": {"x": ["b"], "y": [1]}}}', 'data of \'a\', whom "users" does not list'),
    ('[' * 100_000, 'is not JSON'),
    ('{"users": ["a"], "user_data": {"a": {"x": ["b"], "y": []}}}', 'different lengths'),
    ('{"users": ["a"], "user_data": {"a": {"x": [5], "y": [1]}}}', 'not text'),
  ],
  ids=range(11),
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


def _read(folder: pathlib.Path, field: int | None = None) -> dict[str, list[tuple[str, str | None]]]:
  """Returns the texts and labels by client, of both splits."""
  found: dict[str, list[tuple[str, str | None]]] = {}
  for _, example in leaf.leaf(path=str(folder), field=field).read():
    found.setdefault(example.client, []).append((example.text, example.label))
  return found


@pytest.mark.parametrize(
  ('y', 'labels'),
  [
    (['0', '4'], ['0', '4']),
    (['A', 'C'], ['A', 'C']),
    ([0.0, 1.0], ['0', '1']),
    ([0, 4], ['0', '4']),
    ([0.5, -1.0], ['0.5', '-1']),
    ([True, False], ['true', 'false']),
    ([None, float('nan')], [None, None]),
    ([[0, 1], {'b': 1}], ['[0, 1]', '{"b": 1}']),
    (['0', 'four'], ['0', 'four']),
  ],
)
def test_a_label_stays_a_label_and_out_of_the_text(y: list, labels: list, tmp_path: pathlib.Path):
  # Both texts have 18 characters, as windows of running text would.
  texts = ['Which one is blue?', 'Who can talk here?']
  _write(tmp_path / 'a.json', {f'u{number}': {'x': texts, 'y': y} for number in range(12)})
  assert _read(tmp_path) == {f'u{number}': list(zip(texts, labels, strict=True)) for number in range(12)}


def test_the_layout_is_that_of_the_data_set_not_of_the_user(tmp_path: pathlib.Path):
  _write(tmp_path / 'a.json', {'long': _windows('To be, or not to be', 8), 'short': {'x': ['So it is '], 'y': ['s']}})
  assert _read(tmp_path) == {'long': [('To be, or not to be', None)], 'short': [('So it is s', None)]}
  _write(tmp_path / 'a.json', {'two': {'x': ['one', 'twofold'], 'y': ['0', '1']}, 'short': {'x': ['sad'], 'y': ['4']}})
  assert _read(tmp_path) == {'two': [('one', '0'), ('twofold', '1')], 'short': [('sad', '4')]}


@pytest.mark.parametrize(
  ('users', 'said'),
  [
    # One example each, all of one length: windows or labelled texts.
    ({'a': {'x': ['To be'], 'y': ['A']}, 'b': {'x': ['Or so'], 'y': ['B']}}, 'no user has two examples'),
    # All windows of a text, but none beside the one before.
    ({'a': {'x': ['be, or', 'e, or ', 'o be, ', ' be, o'][::2], 'y': [' ', 'x']},
      'b': {'x': ['e, or '], 'y': ['n']}}, '1 of "x" move on by "y" to another "x"'),
    # A sixth of the neighbours overlap.
    ({'a': {'x': ['abc', 'bcd', 'one', 'two', 'six', 'ten', 'red'], 'y': list('dxxxxxx')}}, r'1 of "x" .* but 5 not'),
    ({'a': {'x': ['abc', 'bcd', 'cde'], 'y': ['d', 'e', '']}}, '1 of "y" are not one character'),
  ],
  ids=['alone', 'shuffled', 'mixed', 'empty'],
)  # fmt: skip
def test_what_could_be_either_layout_is_refused(users: dict, said: str, tmp_path: pathlib.Path):
  _write(tmp_path / 'a.json', users)
  with pytest.raises(errors.DataError, match=said) as raised:
    _read(tmp_path)
  assert ('write labels as numbers' in str(raised.value)) != ('give the next character' in str(raised.value))


_TEXT = st.text(st.characters(codec='utf-8', exclude_categories=['C', 'Z']), min_size=2, max_size=30)


@given(st.dictionaries(st.text(max_size=3), _TEXT, min_size=1, max_size=4), st.integers(1, 6))
def test_windows_of_any_text_are_joined_to_it(spoken: dict[str, str], length: int):
  users = {user: _windows(words, min(length, len(words) - 1)) for user, words in spoken.items()}
  # What tells: a window, of two or more of a user, that moves on to another one.
  clear = any(len(set(data['x'])) > 1 for data in users.values())
  with tempfile.TemporaryDirectory() as folder:
    _write(pathlib.Path(folder) / 'a.json', users)
    if clear:
      assert _read(pathlib.Path(folder)) == {user: [(words, None)] for user, words in spoken.items()}
    else:
      with contextlib.suppress(errors.DataError):
        _read(pathlib.Path(folder))


@given(st.dictionaries(st.text(max_size=3), st.lists(st.tuples(_TEXT, st.sampled_from('04A')), max_size=4), max_size=4))
def test_labelled_texts_come_out_as_they_went_in(rows: dict[str, list[tuple[str, str]]]):
  users = {user: {'x': [text for text, _ in own], 'y': [y for _, y in own]} for user, own in rows.items()}
  texts = [text for own in rows.values() for text, _ in own]
  with tempfile.TemporaryDirectory() as folder:
    _write(pathlib.Path(folder) / 'a.json', users)
    try:
      assert _read(pathlib.Path(folder)) == {user: own or [('', None)] for user, own in rows.items()}
    except errors.DataError as error:
      moved = {text[1:] + y for own in rows.values() for text, y in own}
      assert moved & set(texts) or (len(set(map(len, texts))) == 1 and 'two examples' in str(error))


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(['a', 'b']),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(['a', 'b', 'x', 'y']), inner, max_size=3),
)


@given(
  _JSON, st.dictionaries(st.sampled_from(['a', 'b', '1']), st.fixed_dictionaries({'x': _JSON, 'y': _JSON}) | _JSON)
)
def test_any_json_is_examples_or_one_clear_line(users: object, user_data: dict):
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'a.json'
    file.write_text(json.dumps({'users': users, 'user_data': user_data}))
    try:
      assert set(_read(pathlib.Path(folder))) == set(user_data)
    except errors.DataError as error:
      assert str(file) in str(error) or folder in str(error)


def test_a_user_counts_once_however_often_it_is_listed(tmp_path: pathlib.Path):
  user_data = {'1': {'x': ['one', 'more'], 'y': [0, 1]}, 'b': {'x': ['three'], 'y': [2]}}
  content = {'users': ['1', 'b', 1, '1'], 'num_samples': [2, 1, 2, 2], 'user_data': user_data}
  (tmp_path / 'a.json').write_text(json.dumps(content))
  assert _read(tmp_path) == {'1': [('one', '0'), ('more', '1')], 'b': [('three', '2')]}
  _write(tmp_path / 'b.JSON', {'b': {'x': ['four'], 'y': [3]}})
  assert _read(tmp_path)['b'] == [('three', '2'), ('four', '3')]


def test_only_users_with_visible_text_are_held_out(tmp_path: pathlib.Path):
  blank = {f'u{number}': {'x': [' \n', '\u200b'], 'y': [0, 1]} for number in range(40)}
  _write(tmp_path / 'a.json', blank | {name: {'x': ['some text'], 'y': [0]} for name in ('seen', 'shown')})
  heldout = {example.client for split, example in leaf.leaf(path=str(tmp_path)).read() if split == 'heldout'}
  assert len(heldout) == 1 and heldout < {'seen', 'shown'}


@pytest.mark.parametrize(
  ('x', 'y', 'said'),
  [
    (['so sad', 'so happy today'], ['0', '4'], 'labels\n'),
    (['To b', 'o be'], ['e', ','], 'the next characters of windows'),
  ],
)
def test_what_y_is_taken_for_is_said(x, y, said, tmp_path: pathlib.Path, capsys):
  _write(tmp_path / 'a.json', {f'user{number}': {'x': x, 'y': y} for number in range(10)})
  list(leaf.leaf(path=str(tmp_path)).read())
  assert f'leaf: "y" is taken for {said}' in capsys.readouterr().err


def test_files_that_are_no_part_of_it_are_left_out_and_said(tmp_path: pathlib.Path, capsys):
  _write(tmp_path / 'a.json', {'a': {'x': ['one'], 'y': [0]}})
  (tmp_path / '._a.json').write_bytes(b'\0\5\x16\7')
  (tmp_path / 'meta.txt').touch()
  assert _read(tmp_path) == {'a': [('one', '0')]}
  assert capsys.readouterr().err.startswith('leaf: left out 1 hidden file or folder, 1 file that is not .json\n')
