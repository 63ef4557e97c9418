"""A user's own labelled texts, most of them in CSV: classes, splits, and what is refused."""

import codecs
from collections.abc import Callable
import csv
import io
import pathlib
import random
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import pytest

from data import errors
from data import holdout
from data import source
from data.sources import csv_rows
from data.sources import json_rows
from data.sources import labelled_rows
from data.sources import leaf_rows

_Rows = list[tuple[str, ...]]


def _csv(folder: pathlib.Path, rows: _Rows, header: str = 'text,label,user', name: str = 'own.csv') -> str:
  written = io.StringIO()
  csv.writer(written).writerows(rows)
  (folder / name).write_text(f'{header}\n{written.getvalue()}', encoding='utf-8', newline='')
  return str(folder / name)


def _splits(found: source.LabelledSource) -> dict[str, set[str]]:
  """Returns the texts by split."""
  splits: dict[str, set[str]] = {'train': set(), 'validation': set(), 'heldout': set()}
  for split, example in found.read():
    splits[split].add(example.text)
  return splits


def _users(found: source.LabelledSource) -> dict[str, set[str]]:
  """Returns the users by split."""
  splits: dict[str, set[str]] = {'train': set(), 'validation': set(), 'heldout': set()}
  for split, example in found.read():
    splits[split].add(example.client)
  return splits


@pytest.mark.parametrize(
  ('labels', 'expected'),
  [
    (['pos', 'neg', 'neutral', 'neg'], ('neg', 'neutral', 'pos')),
    (['10', '9', '-1', '2'], ('-1', '2', '9', '10')),
    (['10', '9', 'x'], ('10', '9', 'x')),
    (['B', ' a  b ', 'a b', 'C'], ('B', 'C', 'a b')),  # White space is collapsed, capitals come first.
    (['1.5', '10', '9'], ('1.5', '10', '9')),  # Not all are whole.
  ],
)
def test_classes_are_the_labels_in_order(labels: list[str], expected: tuple[str, ...], tmp_path: pathlib.Path):
  # Two texts of each label, so that one can be held out.
  rows = [(f'text {number} of {label}', label, '') for label in labels for number in range(2)]
  assert csv_rows.csv_rows(path=_csv(tmp_path, rows)).class_names == expected


def test_a_csv_file_may_have_a_mark_line_breaks_and_other_columns(tmp_path: pathlib.Path):
  lines = ['id, Comment ,stars', '1,"Good, ""really""\nand twice",5', '', '2,Bad,1', '3,Worse,1']
  (tmp_path / 'a.csv').write_bytes(codecs.BOM_UTF8 + '\r\n'.join(lines).encode())
  found = csv_rows.csv_rows(path=str(tmp_path / 'a.csv'), text='Comment', label='stars')
  assert sorted((example.text, example.label) for _, example in found.read()) == [
    ('Bad', '1'), ('Good, "really"\nand twice', '5'), ('Worse', '1'),
  ]  # fmt: skip
  assert (found.name, found.class_names, found.clients) == ('csv', ('1', '5'), source.Clients.NONE)


def test_users_are_held_out_by_their_names_whatever_the_order(tmp_path: pathlib.Path):
  rows = [(f'text {number}', 'ab'[number // 30 % 2], f'user {number % 30}') for number in range(180)]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows), user='user')
  users = _users(found)
  # 30 users: 3 are held out, of the other 27 are 2 for validation.
  assert [len(users[split]) for split in ('train', 'validation', 'heldout')] == [25, 2, 3]
  names = {f'user {number}' for number in range(30)}
  assert users['heldout'] == holdout.choose(names)
  assert users['validation'] == holdout.choose_validation(names - users['heldout'])
  assert set.union(*users.values()) == names
  assert found.summary == (
    '180 texts of 2 classes (a: 90, b: 90); users that train 25, validate 2, are held out 3'  # 180 = 30 users x 6
  )
  random.Random(0).shuffle(rows)
  assert _users(csv_rows.csv_rows(path=_csv(tmp_path, rows), user='user')) == users


def test_without_users_a_tenth_of_each_class_is_held_out_whatever_the_order(tmp_path: pathlib.Path):
  rows = [(f'text {number}', 'a' if number < 200 else 'b') for number in range(250)] + [('rare', 'c')]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows, 'text,label'))
  splits = _splits(found)
  # Of 200, 50 and 1 texts: 20, 5 and 0 held out; of 180, 45 and 1 left: 18, 4 and 0 for validation.
  assert [len(splits[split]) for split in ('heldout', 'validation', 'train')] == [25, 22, 251 - 47]
  first = [sum(int(text.split()[1]) < 200 for text in splits[split]) for split in ('heldout', 'validation')]
  assert first == [20, 18] and 'rare' in splits['train']
  assert found.summary == (
    '251 texts of 3 classes (a: 200, b: 50, c: 1); texts that train 204, validate 22, are held out 25'
  )
  random.Random(0).shuffle(rows)
  assert _splits(csv_rows.csv_rows(path=_csv(tmp_path, rows, 'text,label'))) == splits


def test_equal_texts_lie_on_one_side_whatever_their_label(tmp_path: pathlib.Path):
  texts = [f'text {number}' for number in range(60)]
  rows = [(text, 'a') for text in texts] + [(f' {text}\n', 'a') for text in texts] + [(text, 'b') for text in texts]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows, 'text,label'))
  sides: dict[str, list[str]] = {}
  for split, example in found.read():
    sides.setdefault(' '.join(example.text.split()), []).append(split)
  assert all(len(split) == 3 and len(set(split)) == 1 for split in sides.values())
  assert sum(split[0] == 'heldout' for split in sides.values()) == 6  # A tenth of the 60.


def test_texts_without_a_visible_character_are_left_to_be_counted(tmp_path: pathlib.Path):
  rows = [('one', 'a'), ('two', 'a'), ('three', 'b'), ('', 'c'), (' \n', 'a'), ('\u200b', 'b')]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows, 'text,label'))
  assert found.class_names == ('a', 'b')  # The class c has no text.
  assert [tuple(example) for _, example in found.read()][3:] == [('all', '', None)] * 3


def test_a_user_without_text_is_known_and_not_held_out(tmp_path: pathlib.Path):
  rows = [(f'text {number}', 'ab'[number % 2], f'u{number // 2}') for number in range(4)]
  rows += [(' ', 'a', f'blank {number}') for number in range(40)]
  users = _users(csv_rows.csv_rows(path=_csv(tmp_path, rows), user='user'))
  assert len(users['heldout']) == 1 and users['heldout'] < {'u0', 'u1'}
  assert {f'blank {number}' for number in range(40)} < users['train']


@pytest.mark.parametrize(
  ('content', 'arguments', 'said'),
  [
    ('', {}, "own.csv' is empty: write texts and labels to it"),
    ('text,stars\na,1\n', {}, "'label' is no column; the first line names 'text', 'stars': separate"),
    ('text;label\na;1\n', {}, "'text' is no column; the first line names 'text;label': separate columns by commas"),
    ('text,label,text\na,1,b\n', {}, "'text' columns are called alike; the first line names"),
    ('text,label\na,1\n', {'user': 'author'}, "'author' is no column; the first line names 'text', 'label'"),
    (
      ','.join(map(str, range(90))) + '\n',
      {},
      "names '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12', "
      "'13', '14', '15', '16', '17', '18', '19', ...: separate",
    ),
    ('text,label\n', {}, 'has no text: give texts of two classes at least'),
    ('text,label\na,1\nb,1\n', {}, "has one class only, '1': give texts of two classes at least"),
    ('text,label\na,1\nb,2\n', {}, 'has no text to hold out: give two different texts of a class at least'),
    ('text,label\na,1\n\nb,\n', {}, 'line 4 has no label: give it one, or remove it'),
    ('text,label\n"a\nb",1\nc, \n', {}, 'line 4 has no label'),
    ('text,label,user\na,1,x\nb,2,\n', {'user': 'user'}, 'line 3 has no user: name one, or remove it'),
    ('text,label\na,1\nb\n', {}, 'line 3 has 1 fields instead of 2: mend or remove the row'),
    ('text,label\na,"1\n', {}, 'line 2 is broken CSV'),
    ('text,label\ra,1\r', {}, 'line 1 is broken CSV'),
    ('text,label\n', {'text': 'label '}, "text='label ', label='label' must name different fields"),
    (b'text,label\na,1\ncaf\xe9,2\n', {}, 'line 3 is not UTF-8'),
    ('text,label\na,1\n'.encode('utf-16'), {}, 'line 1 is not UTF-8'),
    ('text,label,user\na,1,x\nb,2,x\n', {'user': 'user'}, 'has no user to hold out: give texts of two users at least'),
    ('text,label\na,1\n', {'text': ''}, "text='' must name a field of each row, such as text='text'"),
    ('text,label\na,1\n', {'label': 3}, 'label=3 must name a field'),
    ('text,label\na,1\n', {'user': 'label'}, "text='text', label='label', user='label' must name different fields"),
    ('text,label\na,1\nb,1\nc,2\n', {'max_examples': 0}, 'max_examples=0'),
    ('text,label\na,1\nb,1\nc,2\n', {'sequence_length': 2}, 'sequence_length=2'),
  ],
)
def test_a_csv_file_that_does_not_fit_is_one_line(
  content: str | bytes, arguments: dict, said: str, tmp_path: pathlib.Path
):
  file = tmp_path / 'own.csv'
  file.write_bytes(content if isinstance(content, bytes) else content.encode())
  with pytest.raises(errors.DataError) as raised:
    csv_rows.csv_rows(path=str(file), **arguments)
  assert said in str(raised.value) and len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize('build', [csv_rows.csv_rows, json_rows.json_rows, leaf_rows.leaf_rows])
def test_a_path_is_needed(build: Callable[..., source.LabelledSource], tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match=r'(csv|jsonl|leaf) needs a path'):
    build()
  with pytest.raises(errors.DataError, match='no such file or folder'):
    build(path=str(tmp_path / 'absent'))
  if build is not leaf_rows.leaf_rows:
    with pytest.raises(errors.DataError, match=r'is no file: give (csv|jsonl) the file'):
      build(path=str(tmp_path))


def test_a_label_of_none_but_heldout_or_validating_users_is_refused(tmp_path: pathlib.Path):
  names = {f'user {number}' for number in range(30)}
  heldout = sorted(holdout.choose(names))
  validating = sorted(holdout.choose_validation(names - set(heldout)))
  rows = [(f'{name} says {label}', label, name) for name in sorted(names) for label in 'ab']
  lost = [*rows, ('a riddle', 'odd', heldout[0]), ('a rhyme', 'odd', validating[0]), ('a pun', 'queer', heldout[1])]
  with pytest.raises(errors.DataError, match=r"label 'odd' has no text to train on \(and 1 more like it\)") as raised:
    csv_rows.csv_rows(path=_csv(tmp_path, lost), user='user')
  listed = ', '.join(map(repr, sorted([heldout[0], validating[0]])))
  assert f'only with users that are held out or validate ({listed}); remove its rows, or hold out' in str(raised.value)
  # The remedy that it names: without users each class is held out by itself.
  assert csv_rows.csv_rows(path=_csv(tmp_path, lost)).class_names == ('a', 'b', 'odd', 'queer')


def test_a_label_whose_texts_are_all_held_out_under_another_is_refused(tmp_path: pathlib.Path):
  rows = [(f'text {number}', 'a') for number in range(40)]
  heldout = sorted(_splits(csv_rows.csv_rows(path=_csv(tmp_path, [*rows, ('else', 'b')], 'text,label')))['heldout'])
  with pytest.raises(errors.DataError, match="label 'c' has no text to train on, since its texts have other labels"):
    csv_rows.csv_rows(path=_csv(tmp_path, [*rows, (heldout[0], 'c')], 'text,label'))


_FIELDS = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0\ufeff'), max_size=8)
_LABELS = _FIELDS.map(lambda field: f'{field}x')  # None is blank.


@given(
  st.lists(st.tuples(_FIELDS, _FIELDS, _LABELS), max_size=6),
  st.sampled_from([{'lineterminator': '\n', 'quoting': csv.QUOTE_ALL}, {'lineterminator': '\r\n'}]),
)
def test_reads_the_rows_that_csv_itself_reads(rows: _Rows, form: dict):
  written = io.StringIO()
  csv.writer(written, **form).writerows([('a', 'text', 'label'), *rows])
  expected = [
    (row['text'], ' '.join(row['label'].split())) for row in csv.DictReader(io.StringIO(written.getvalue(), newline=''))
  ]
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'own.csv'
    file.write_bytes(written.getvalue().encode())
    assert [row[:2] for row in csv_rows._read(file, ['text', 'label'])] == expected


@given(st.binary(max_size=40))
def test_any_bytes_are_rows_or_one_clear_line(content: bytes):
  with tempfile.TemporaryDirectory() as folder:
    for build, name, head in ((csv_rows.csv_rows, 'a.csv', b'text,label\n'), (json_rows.json_rows, 'a.jsonl', b'')):
      file = pathlib.Path(folder) / name
      file.write_bytes(head + content)
      try:
        assert len(build(path=str(file)).class_names) > 1
      except errors.DataError as error:
        assert len(str(error).splitlines()) == 1 and name in str(error)


_ROW = st.tuples(st.sampled_from('abcdefgh'), st.sampled_from('xyz'), st.sampled_from([f'u{n}' for n in range(12)]))


@given(st.lists(_ROW, min_size=10, max_size=60), st.booleans(), st.randoms())
def test_no_rows_leak_between_splits_and_every_class_is_trained(rows: _Rows, has_users: bool, order: random.Random):
  def build(rows: _Rows) -> source.LabelledSource:
    made = [labelled_rows.row('here', text, label, user if has_users else None) for text, label, user in rows]
    return labelled_rows.dataset(labelled_rows.Rows('own', 'here', list, lambda: made), None, 128)

  shuffled = order.sample(rows, len(rows))
  try:
    found, again = build(rows), build(shuffled)
  except errors.DataError as error:
    assert len(str(error).splitlines()) == 1
    return
  for one, other in ((_users, _users), (_splits, _splits)):
    assert one(found) == other(again)
  train, validation, heldout = (_users if has_users else _splits)(found).values()
  assert heldout and not train & heldout and not train & validation and not validation & heldout
  assert {example.label for split, example in found.read() if split == 'train'} == set(found.class_names)
  assert len(list(found.read())) == len(rows)


def test_a_file_that_changes_between_two_looks_is_refused(tmp_path: pathlib.Path):
  rows = [('one', 'a'), ('two', 'a'), ('three', 'b')]
  found = csv_rows.csv_rows(path=_csv(tmp_path, rows, 'text,label'))
  _csv(tmp_path, [*rows, ('four', 'c')], 'text,label')
  with pytest.raises(errors.DataError, match='has changed while it was read: start again'):
    list(found.read())


def test_whatever_is_read_changes_the_fingerprint(tmp_path: pathlib.Path):
  rows = [(f'text {n}', 'ab'[n % 2], f'u{n % 4 // 2}') for n in range(8)]
  path = _csv(tmp_path, rows)
  made = [csv_rows.csv_rows(path=path), csv_rows.csv_rows(path=path, user='user')]
  made.append(csv_rows.csv_rows(path=path, text='user', label='label', user='text'))
  made.append(csv_rows.csv_rows(path=_csv(tmp_path, rows[::-1] + rows)))
  assert len({each.fingerprint for each in made}) == 4
  assert csv_rows.csv_rows(path=path).fingerprint == made[-1].fingerprint
