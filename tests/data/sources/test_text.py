"""A user's own text arrives whole, whatever the clients are called, and mistakes in it are named."""

import collections
import json
import os
import pathlib
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import pytest

from data import errors
from data.sources import text
from tools import shakespeare_speakers

_ANY_TEXT = st.text(st.characters(), max_size=40)  # includes quotes, newlines, null characters, lone surrogates


def _texts_by_client(source) -> dict[str, list[str]]:
  found = collections.defaultdict(list)
  for _, example in source.read():
    found[example.client].append(example.text)
  return found


@given(st.lists(st.tuples(_ANY_TEXT, _ANY_TEXT), min_size=1, max_size=8))
def test_any_client_and_any_text_survive_json_lines(rows: list[tuple[str, str]]):
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'rows.jsonl'
    file.write_text(''.join(json.dumps({'client': client, 'text': words}) + '\n' for client, words in rows))
    found = _texts_by_client(text.text(path=str(file)))
  expected = collections.defaultdict(str)
  for client, words in rows:
    expected[client] += ' ' + words
  assert {client: ' '.join(texts).split() for client, texts in found.items()} == {
    client: words.split() for client, words in expected.items()
  }


def test_a_folder_holds_one_folder_of_texts_per_client(tmp_path: pathlib.Path):
  names = ["o'neil", 'two\nlines', '日本', '"; DROP TABLE examples', os.fsdecode(b'not \xff utf-8')]
  for name in names:
    (tmp_path / name).mkdir()
    (tmp_path / name / 'b.txt').write_text('Second file. It has two sentences.')
    (tmp_path / name / 'a.txt').write_text('First\nfile')
    (tmp_path / name / 'notes.md').write_text('left out')
  (tmp_path / 'empty').mkdir()
  source = text.text(path=str(tmp_path))
  expected = ['First', 'file', 'Second file.', 'It has two sentences.']
  assert _texts_by_client(source) == dict.fromkeys(names, expected) | {'empty': ['']}
  heldout = {example.client for split, example in source.read() if split == 'heldout'}
  assert len(heldout) == 1
  assert heldout != {'empty'}


def test_a_label_and_a_byte_order_mark_are_understood(tmp_path: pathlib.Path):
  file = tmp_path / 'rows'
  file.write_bytes(b'\xef\xbb\xbf{"client": "a", "text": "words", "label": 3}\r\n\n')
  ((split, example),) = text.text(path=str(file)).read()
  assert (split, example) == ('train', ('a', 'words', '3'))


@pytest.mark.parametrize(
  ('line', 'said'),
  [
    ('{"client": "a", "text": "b"', 'line 2 is not JSON'),
    ('[' * 100_000, 'line 2 is not JSON'),
    ('\udcff', r'line 2 is not UTF-8 \(invalid start byte\): convert the file'),
    ('["a", "b"]', 'line 2 is not a JSON object'),
    ('{"text": "b"}', 'line 2 has no field "client"'),
    ('{"client": "a"}', 'line 2 has no field "text"'),
    ('{"client": 1.0, "text": "b"}', 'line 2 has the client 1.0, which is neither text nor a whole number'),
    ('{"client": true, "text": "b"}', 'line 2 has the client true, which is neither text nor a whole number'),
    ('{"client": null, "text": "b"}', 'line 2 has the client null, which is neither text nor a whole number'),
    ('{"client": "a", "text": 5}', 'line 2 has the text 5, which is not text in quotes'),
    ('{"client": "a", "text": null}', 'line 2 has the text null, which is not text in quotes'),
    (f'{{"client": {"9" * 5000}, "text": "b"}}', 'line 2 is not JSON'),
  ],
  ids=range(12),
)
def test_a_bad_line_is_named(line: str, said: str, tmp_path: pathlib.Path):
  file = tmp_path / 'rows.jsonl'
  file.write_bytes(os.fsencode('{"client": "a", "text": "b"}\n' + line + '\n'))
  with pytest.raises(errors.DataError, match=said) as raised:
    list(text.text(path=str(file)).read())
  assert 'rows.jsonl' in str(raised.value)


def test_text_that_is_not_utf_8_is_named(tmp_path: pathlib.Path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'x.txt').write_bytes(b'ok \xff')
  with pytest.raises(errors.DataError, match=r'x\.txt.*is not UTF-8 at byte 3'):
    list(text.text(path=str(tmp_path)).read())


def test_the_fingerprint_follows_the_files(tmp_path: pathlib.Path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'x.txt').write_text('one')
  first = text.text(path=str(tmp_path)).fingerprint
  assert text.text(path=str(tmp_path)).fingerprint == first
  (tmp_path / 'a' / 'y.txt').write_text('two')
  assert text.text(path=str(tmp_path)).fingerprint != first


def test_a_play_becomes_a_client_for_each_speaker(tmp_path: pathlib.Path):
  play = 'ROMEO:\nBut soft,\nwhat light?\n\nA street.\n\nJULIET:\nO Romeo!\n\nROMEO:\nIt is.\n'
  assert list(shakespeare_speakers.speeches(play)) == [
    ('ROMEO', 'But soft, what light?'),
    ('JULIET', 'O Romeo!'),
    ('ROMEO', 'It is.'),
  ]
  (tmp_path / 'play.txt').write_text(play)
  shakespeare_speakers.main(tmp_path / 'play.txt', tmp_path / 'speakers.jsonl')
  examples = [example for _, example in text.text(str(tmp_path / 'speakers.jsonl')).read()]
  assert [(example.client, example.text) for example in examples] == list(shakespeare_speakers.speeches(play))


@pytest.mark.parametrize(
  ('value', 'label'), [('1', '1'), ('1.0', '1'), ('"1"', '1'), ('null', None), ('NaN', None), ('0.5', '0.5')]
)
def test_equal_labels_are_one_and_whole_numbers_may_name_clients(value: str, label: str, tmp_path: pathlib.Path):
  file = tmp_path / 'rows.jsonl'
  file.write_text(f'{{"client": 12, "text": "words", "label": {value}}}\n{{"client": "12", "text": "more"}}')
  examples = [example for _, example in text.text(path=str(file)).read()]
  assert examples == [('12', 'words', label), ('12', 'more', None)]


def _folder(root: pathlib.Path, **files: str) -> pathlib.Path:
  """Writes files by their path, in which a double underscore stands for a slash."""
  for name, content in files.items():
    file = root / name.replace('__', '/').replace('_txt', '.txt')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
  return root


def test_hidden_files_are_no_clients_and_what_is_left_out_is_said(tmp_path: pathlib.Path, capsys):
  _folder(tmp_path, a__x_txt='one', b__x_txt='two')
  for name in ('.git/HEAD.txt', '.ipynb_checkpoints/x.txt', '__MACOSX/a/x.txt', 'a/.ipynb_checkpoints/x.txt'):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text('never')
  for name in ('._a', '.DS_Store', 'a/._x.txt', 'a/.DS_Store', 'notes.md', 'a/notes.md', 'b/x.pdf'):
    (tmp_path / name).write_bytes(b'\xff\xfe')
  (tmp_path / 'b' / 'y.txt').symlink_to(tmp_path / 'nowhere')
  assert _texts_by_client(text.text(path=str(tmp_path))) == {'a': ['one'], 'b': ['two']}
  # Hidden: .git, .ipynb_checkpoints, __MACOSX, ._a, .DS_Store; in a: .ipynb_checkpoints, ._x.txt, .DS_Store.
  assert capsys.readouterr().err == (
    'text: left out 8 hidden files or folders, 3 files that are not .txt, 1 link that leads nowhere\n'
  )


def test_nothing_is_said_if_nothing_is_left_out(tmp_path: pathlib.Path, capsys):
  assert _texts_by_client(text.text(path=str(_folder(tmp_path, a__x_txt='one')))) == {'a': ['one']}
  assert not capsys.readouterr().err


def test_text_in_capital_suffixes_and_deeper_folders_belongs_to_the_client(tmp_path: pathlib.Path):
  _folder(tmp_path, a__b__c__y_txt='deep', a__z_txt='last', b__x_txt='other')
  (tmp_path / 'a' / 'A.TXT').write_text('first')
  assert _texts_by_client(text.text(path=str(tmp_path))) == {'a': ['first', 'deep', 'last'], 'b': ['other']}


def test_files_beside_folders_are_clients_too(tmp_path: pathlib.Path):
  _folder(tmp_path, a_txt='one', b_txt='two', c__x_txt='three')
  assert _texts_by_client(text.text(path=str(tmp_path))) == {'a': ['one'], 'b': ['two'], 'c': ['three']}
  (tmp_path / 'c.txt').write_text('four')
  with pytest.raises(errors.DataError, match=r"/c' and '.*/c.txt' are both client 'c': rename one"):
    text.text(path=str(tmp_path))
  (tmp_path / 'c.txt').unlink()
  (tmp_path / 'a.TXT').write_text('five')
  with pytest.raises(errors.DataError, match=r"a.TXT' and '.*a.txt' are both client 'a'"):
    text.text(path=str(tmp_path))


def test_links_never_lead_in_circles(tmp_path: pathlib.Path, capsys):
  _folder(tmp_path, home__a__x_txt='one', home__b__x_txt='two', elsewhere__x_txt='three')
  home = tmp_path / 'home'
  (home / 'c').symlink_to(tmp_path / 'elsewhere')  # a client that is kept elsewhere
  (home / 'itself').symlink_to(home)
  (home / 'above').symlink_to(tmp_path)
  (home / 'a' / 'back').symlink_to(home / 'a')
  (home / 'a' / 'other').symlink_to(home / 'b')
  (home / 'knot').symlink_to(home / 'knot')
  assert _texts_by_client(text.text(path=str(home))) == {'a': ['one'], 'b': ['two'], 'c': ['three']}
  assert capsys.readouterr().err == 'text: left out 1 link that leads nowhere, 4 links to folders\n'


def test_a_folder_without_text_is_refused_and_says_what_it_has(tmp_path: pathlib.Path):
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'x.md').touch()
  with pytest.raises(errors.DataError, match=r'holds no text \(left out 1 file that is not .txt\): a folder or'):
    text.text(path=str(tmp_path))


@pytest.mark.parametrize('blank', ['', ' \n\t', '\u200b\u2060', '\u2581', '\ufffd', '\x01\x7f'])
@pytest.mark.parametrize('as_lines', [False, True])
def test_only_clients_with_visible_text_are_held_out(blank: str, as_lines: bool, tmp_path: pathlib.Path):
  texts = {f'b{number}': blank for number in range(40)} | {'seen': 'Good day.', 'shown': 'Rain.'}
  if as_lines:
    rows = [json.dumps({'client': client, 'text': words}) for client, words in texts.items()]
    path = tmp_path / 'rows.jsonl'
    path.write_text('\n'.join(rows))
  else:
    path = _folder(tmp_path, **{f'{client}__x_txt': words for client, words in texts.items()})
  heldout = {example.client for split, example in text.text(path=str(path)).read() if split == 'heldout'}
  assert len(heldout) == 1 and heldout < {'seen', 'shown'}


@pytest.mark.parametrize('content', [b'\xff\xfeh\0i\0', b'h\0i\0', 'hi'.encode('utf-32-le')])
def test_text_in_another_encoding_is_refused(content: bytes, tmp_path: pathlib.Path):
  _folder(tmp_path, a__x_txt='').joinpath('a', 'x.txt').write_bytes(content)
  with pytest.raises(errors.DataError, match=r'a/x.txt.* (is not UTF-8|holds null characters).*: convert it'):
    list(text.text(path=str(tmp_path)).read())


def test_an_empty_file_and_a_pipe_are_refused(tmp_path: pathlib.Path):
  (tmp_path / 'rows.jsonl').touch()
  with pytest.raises(errors.DataError, match=r'rows.jsonl.* is empty: write a line {"client": "...", "text": "..."}'):
    text.text(path=str(tmp_path / 'rows.jsonl'))
  os.mkfifo(tmp_path / 'pipe')
  with pytest.raises(errors.DataError, match='is neither a folder nor a file'):
    text.text(path=str(tmp_path / 'pipe'))


def test_byte_order_marks_are_passed_over_on_lines_of_their_own_too(tmp_path: pathlib.Path):
  file = tmp_path / 'rows.jsonl'
  file.write_bytes(b'\xef\xbb\xbf\n\xef\xbb\xbf{"client": "a", "text": "b"}\n\xef\xbb\xbf')
  assert _texts_by_client(text.text(path=str(file))) == {'a': ['b']}


@given(
  st.binary(max_size=80)
  | st.lists(st.sampled_from([b'{', b'}', b'"client"', b'"text"', b':', b',', b'1', b'"a"', b'\n'])).map(b''.join)
)
def test_any_bytes_are_examples_or_one_clear_line(content: bytes):
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'rows.jsonl'
    file.write_bytes(content)
    try:
      assert all(isinstance(example.text, str) for _, example in text.text(path=str(file)).read())
    except errors.DataError as error:
      assert str(file) in str(error) and len(str(error).splitlines()) == 1
