"""WordPiece cuts words as BERT does, keeps both ends, and knows a file that is no vocabulary."""

import subprocess

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from data import errors
from data import wordpiece

# 0 [PAD], 1 [UNK], 2 [CLS], 3 [SEP], 4 [MASK], then what texts hold.
_PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'learn', '##ing', '##s', 'model', ',', '[', ']', 'se']
_VOCABULARY = ''.join(f'{piece}\n' for piece in [*_PIECES, 'mask', 'Model', 'cafe']).encode()


@pytest.fixture(scope='module', name='uncased')
def _uncased() -> wordpiece.WordPiece:
  return wordpiece.WordPiece(_VOCABULARY, cased=False)


def test_properties_come_from_the_lines(uncased: wordpiece.WordPiece):
  assert (uncased.vocabulary_size, uncased.end_id, uncased.mask_id) == (17, 3, 4)
  without_mask = wordpiece.WordPiece(_VOCABULARY.replace(b'[MASK]\n', b''), cased=False)
  assert (without_mask.vocabulary_size, without_mask.mask_id) == (16, None)


@pytest.mark.parametrize(
  ('text', 'ids'),
  [
    ('the models', [2, 5, 9, 8, 3, 0, 0, 0]),
    ('The LEARNING', [2, 5, 6, 7, 3, 0, 0, 0]),  # put in lower case
    ('caf\u00e9', [2, 16, 3, 0, 0, 0, 0, 0]),  # the accent goes
    ('model,zebra', [2, 9, 10, 1, 3, 0, 0, 0]),  # punctuation is a word; no piece begins zebra
    ('the the the the the the the', [2, 5, 5, 5, 5, 5, 5, 3]),  # seven words, six places
    ('[MASK]', [2, 11, 14, 12, 3, 0, 0, 0]),  # ordinary text, not the special token
    ('', [2, 3, 0, 0, 0, 0, 0, 0]),
    (' \ud800', [2, 1, 3, 0, 0, 0, 0, 0]),  # a lone surrogate is read as a question mark
  ],
)
def test_cuts_words_into_the_longest_pieces(uncased: wordpiece.WordPiece, text: str, ids: list[int]):
  encoded = uncased.encode([text], 8)
  assert encoded.dtype == np.int32
  assert encoded.tolist() == [ids]


def test_a_cased_vocabulary_keeps_capitals():
  cased = wordpiece.WordPiece(_VOCABULARY, cased=True)
  assert cased.encode(['Model The caf\u00e9'], 5).tolist() == [[2, 15, 1, 1, 3]]
  assert cased.serialized != wordpiece.WordPiece(_VOCABULARY, cased=False).serialized
  assert wordpiece.looks_cased(_VOCABULARY)
  assert not wordpiece.looks_cased(_VOCABULARY.replace(b'Model', b'nodel'))  # [CLS] alone says nothing


def test_a_vocabulary_with_windows_lines_is_the_same():
  assert wordpiece.WordPiece(_VOCABULARY.replace(b'\n', b'\r\n'), cased=False).encode(['the'], 3).tolist() == [
    [2, 5, 3]
  ]


@pytest.mark.parametrize('newline', ['\n', '\r\n'])
@pytest.mark.parametrize('mark', ['', '\ufeff'])
@pytest.mark.parametrize('ending', ['', '\n', '\n\n', '\n\n\n'])
def test_marks_and_endings_of_files_are_no_pieces(newline: str, mark: str, ending: str):
  content = (mark + '\n'.join([*_PIECES, 'last']) + ending).replace('\n', newline).encode()
  found = wordpiece.WordPiece(content, cased=False)
  assert found.vocabulary_size == len(_PIECES) + 1
  assert found.encode(['the last'], 4).tolist() == [[2, 5, len(_PIECES), 3]]
  assert found.serialized == b'wordpiece uncased\n' + content  # The bytes name prepared data.


def test_an_empty_line_between_pieces_counts():
  found = wordpiece.WordPiece(_VOCABULARY.replace(b'the\n', b'\nthe\n'), cased=False)
  assert found.encode(['the'], 3).tolist() == [[2, 6, 3]]  # One more than without.


@given(st.lists(st.text(st.characters()), max_size=5), st.integers(3, 9))
def test_encodes_any_text(uncased: wordpiece.WordPiece, texts: list[str], length: int):
  rows = uncased.encode(texts, length)
  assert rows.shape == (len(texts), length)
  for row in rows.tolist():
    assert row[0] == 2 and row.count(3) == 1
    assert not any(row[row.index(3) + 1 :])


def test_its_threads_do_not_trouble_child_processes(uncased: wordpiece.WordPiece, capfd: pytest.CaptureFixture):
  uncased.encode(['the model'] * 1000, 8)
  subprocess.run(['true'], check=True)
  assert capfd.readouterr().err == ''


@pytest.mark.parametrize(
  ('vocabulary', 'said'),
  [
    (b'', r'lacks \[PAD\], \[UNK\], \[CLS\], \[SEP\]'),
    (_VOCABULARY.replace(b'[SEP]\n', b''), r'lacks \[SEP\]: give the vocab.txt'),
    (b'first\n' + _VOCABULARY, r'does not begin with \[PAD\]'),
    (b'\xff', 'not UTF-8 at byte 0'),
  ],
)
def test_other_files_are_refused(vocabulary: bytes, said: str):
  with pytest.raises(errors.DataError, match=said):
    wordpiece.WordPiece(vocabulary, cased=False)
