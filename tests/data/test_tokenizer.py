"""Text becomes begin, pieces, end and padding, the same way every time."""

from concurrent import futures
import hashlib
import string
import threading

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from data import errors
from data import tokenizer

_TEXTS = ['the loss of the model', 'the model of the loss falls', 'a model learns the loss'] * 5


@pytest.fixture(scope='module', name='trained')
def _trained() -> tokenizer.Tokenizer:
  return tokenizer.train(_TEXTS, 40)


def test_equal_texts_give_equal_models(trained: tokenizer.Tokenizer):
  assert tokenizer.train(iter(_TEXTS), 40).model == trained.model


def test_a_tiny_corpus_gives_a_smaller_vocabulary():
  assert 4 < tokenizer.train(_TEXTS, 4000).vocabulary_size < 100


def test_rows_begin_and_end_and_are_padded(trained: tokenizer.Tokenizer):
  tokens = trained.encode(['the model', '', 'the loss of the model of the loss'], 9)
  assert tokens.dtype == np.int32
  assert tokens.shape == (3, 9)
  assert tokens[:, 0].tolist() == [tokenizer.BEGIN] * 3
  assert tokens[1].tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0]
  end = tokens[0].tolist().index(tokenizer.END)
  assert (tokens[0, 1:end] > tokenizer.UNKNOWN).all() and not tokens[0, end + 1 :].any()
  assert (tokens[2] != tokenizer.PAD).all() and tokens[2, -1] != tokenizer.END  # cut off
  assert trained.decode(tokens[:2]) == ['the model', '']


def test_characters_never_seen_are_unknown(trained: tokenizer.Tokenizer):
  assert trained.encode(['日本'], 5).tolist()[0].count(tokenizer.UNKNOWN) == 1
  assert trained.encode([], 5).shape == (0, 5)


def test_pieces_are_all_of_a_row_between_begin_and_end(trained: tokenizer.Tokenizer):
  row = trained.encode(['the loss of the model of the loss'], 60)[0].tolist()
  assert trained.pieces('the loss of the model of the loss') == row[1 : row.index(tokenizer.END)]
  assert trained.pieces('') == []


def test_unknown_characters_are_named_once_each(trained: tokenizer.Tokenizer):
  assert trained.unknown_characters('the 日本 model of 日 loss') == ['日', '本']
  assert trained.unknown_characters('the model') == trained.unknown_characters('') == []
  assert trained.unknown_characters('日\ud800') == ['日', '?']  # What UTF-8 cannot carry is read as a question mark.


@given(st.lists(st.text(st.characters()), max_size=5))
def test_encodes_any_text(trained: tokenizer.Tokenizer, texts: list[str]):
  tokens = trained.encode(texts, 8)
  assert tokens.shape == (len(texts), 8)
  assert (tokens[:, 0] == tokenizer.BEGIN).all()
  assert ((tokens >= 0) & (tokens < trained.vocabulary_size)).all()


@pytest.mark.parametrize(('texts', 'vocabulary'), [([], 40), (['\u2585'], 40), (['abcdefghijklmnopqrst'] * 9, 8)])
def test_texts_without_a_vocabulary_are_refused(texts: list[str], vocabulary: int):
  with pytest.raises(errors.DataError, match='give more text or change vocabulary='):
    tokenizer.train(texts, vocabulary)


def test_characters_are_one_token_each():
  characters = tokenizer.of_characters()
  assert characters.vocabulary_size == 99  # pad, begin, end, unknown, 10 digits, 52 letters, 32 marks and the space
  text = string.printable[:94]
  tokens = characters.encode([text, 'a b', '日'], 97)
  assert sorted(tokens[0].tolist()) == [0, 1, 2, *range(5, 99)]  # 4 is the space.
  assert len(set(tokens[1, 1:4].tolist())) == 3 and tokens[1, 4] == tokenizer.END
  assert tokens[2, :4].tolist() == [tokenizer.BEGIN, tokenizer.UNKNOWN, tokenizer.END, tokenizer.PAD]
  assert characters.decode(tokens[:2]) == [text, 'a b']


def test_characters_never_change():
  digest = hashlib.sha256(tokenizer.of_characters().model).hexdigest()
  assert digest == 'a78fc7698e79b48ce0d875a71d94004479a29ccb279433ffffa8cf8845f20f5d'


def test_threads_may_load_one_model_at_once():
  model, together = tokenizer.train(_TEXTS, 39).model, threading.Barrier(8)  # One that nobody has loaded yet.

  def encoded(_) -> list:
    together.wait()
    return tokenizer.Tokenizer(model).encode(['the model'], 12).tolist()

  with futures.ThreadPoolExecutor(8) as threads:
    found = list(threads.map(encoded, range(8)))
  assert found == [tokenizer.Tokenizer(model).encode(['the model'], 12).tolist()] * 8
