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
from data import text
from tools import shakespeare_speakers

_ANY_TEXT = st.text(st.characters(), max_size=40)  # includes quotes, newlines, null characters, lone surrogates


def _texts_by_client(source) -> dict[str, list[str]]:
  found = collections.defaultdict(list)
  for _, example in source.read():
    found[example.client].append(example.text)
  return found


@given(st.lists(st.tuples(_ANY_TEXT, _ANY_TEXT), max_size=8))
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
    ('\udcff', 'line 2 is not JSON'),
    ('["a", "b"]', 'line 2 is not a JSON object'),
    ('{"text": "b"}', 'line 2 has no text field "client"'),
    ('{"client": "a"}', 'line 2 has no text field "text"'),
    ('{"client": 1, "text": "b"}', 'line 2 has no text field "client"'),
  ],
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
