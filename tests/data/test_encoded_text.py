"""Text in the tokens of a finished tokenizer is what preparing it with that tokenizer gives, and is read once."""

import pathlib

import numpy as np
import pytest

from data import encoded_text
from data import errors
from data import partitions
from data import prepare
from data import source
from data import tokenizer

_ROWS = [
  ('pretrain', source.Example('p', 'the loss of the model')),
  *[('train', source.Example(f'c{number % 3}', f'the  model {number} learns')) for number in range(9)],
  ('heldout', source.Example('silent', '')),
  *[('heldout', source.Example(f'h{number % 4}', f'the loss {number} is\tlow')) for number in range(10)],
]


def _source(rows=_ROWS, **arguments) -> source.TextSource:
  return source.TextSource('small', 'f', lambda: rows, **{'vocabulary': 50, 'sequence_length': 8} | arguments)


@pytest.fixture
def prepared(tmp_path: pathlib.Path):
  return prepare.prepare(_source(), partitions.natural(), tmp_path)


def test_is_what_preparing_gives(prepared, tmp_path):
  found = encoded_text.encode(_source(), ['heldout'], prepared.tokenizer, tmp_path)
  assert found.client_ids == prepared.client_ids('heldout')
  for client_id in found.client_ids:
    np.testing.assert_array_equal(found.of([client_id]), prepared.tokens('heldout', [client_id]))
  assert len(found.tokens) == 10 and found.tokens.dtype == np.int32


def test_joins_splits(prepared, tmp_path):
  found = encoded_text.encode(_source(), ['pretrain', 'train'], prepared.tokenizer, tmp_path)
  assert len(found.tokens) == 10 and len(found.client_ids) == 4
  # Nine pieces at most, the rest is cut off.
  assert prepared.tokenizer.decode(found.tokens[:2]) == ['the loss', 'the model 0 learns']


def test_is_read_once_and_again_for_another_tokenizer(prepared, tmp_path):
  reads = []

  def read():
    reads.append(1)
    return _ROWS

  counting = source.TextSource('small', 'f', read, sequence_length=8)
  first = encoded_text.encode(counting, ['train'], prepared.tokenizer, tmp_path)
  second = encoded_text.encode(counting, ['train'], prepared.tokenizer, tmp_path)
  np.testing.assert_array_equal(first.tokens, second.tokens)
  assert first.client_ids == second.client_ids and len(reads) == 1
  other = tokenizer.train(['a wholly different text of other letters'] * 20, 40)
  encoded_text.encode(counting, ['train'], other, tmp_path)
  assert len(reads) == 2


def test_long_texts_are_cut_for_a_tokenizer_of_characters(tmp_path):
  rows = [('heldout', source.Example('c', 'abcdefghijkl'))]
  found = encoded_text.encode(_source(rows), ['heldout'], tokenizer.of_characters(), tmp_path)
  assert tokenizer.of_characters().decode(found.tokens) == ['abcdefg', 'hijkl']  # 7 characters beside begin and end


def test_a_damaged_file_is_made_anew(prepared, tmp_path):
  first = encoded_text.encode(_source(), ['train'], prepared.tokenizer, tmp_path)
  file = next(tmp_path.glob('*.npz'))
  file.write_bytes(file.read_bytes()[:100])
  second = encoded_text.encode(_source(), ['train'], prepared.tokenizer, tmp_path)
  np.testing.assert_array_equal(first.tokens, second.tokens)


def test_no_text_is_no_example(prepared, tmp_path):
  found = encoded_text.encode(_source(rows=[]), ['train'], prepared.tokenizer, tmp_path / 'other')
  assert found.tokens.shape == (0, 9) and found.client_ids == [] and found.of([]).shape == (0, 9)


def test_an_error_of_the_source_stays_one(prepared, tmp_path):
  def read():
    yield _ROWS[0]
    raise errors.DataError('line 2 is not text: mend it')

  with pytest.raises(errors.DataError, match=r'^line 2'):
    encoded_text.encode(source.TextSource('small', 'g', read), ['train'], prepared.tokenizer, tmp_path)
  assert not list(tmp_path.glob('*.npz*'))
