"""Sub-word pieces: SentencePiece trains the vocabulary, TensorFlow Text applies it."""

from collections.abc import Iterable
import io
import string
import threading
from typing import Any

import numpy as np
import sentencepiece
import tensorflow as tf
import tensorflow_text

from data import errors

PAD, BEGIN, END, UNKNOWN = range(4)

_MAX_CHARACTERS = 1000  # per training sentence; the trainer skips a sentence of more than 4,192 bytes altogether

_loading = threading.Lock()  # Of two threads that load one model at once, one would lose it.


class Tokenizer:
  """Turns sentences into rows of piece ids: begin, pieces, end, padding."""

  end_id = END

  def __init__(self, model: bytes):
    """Takes a serialized SentencePiece model whose ids 0 to 3 are pad, begin, end and unknown."""
    self.model = model
    with _loading:
      self._tokenizer = tensorflow_text.SentencepieceTokenizer(model=model, add_bos=True, add_eos=True)
      self.vocabulary_size = int(self._tokenizer.vocab_size())

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], cut off or padded; a text without a piece is begin, end, padding.

    Lone surrogates, which UTF-8 cannot carry, are read as question marks.
    """
    encoded = tf.constant([text.encode('utf-8', 'replace') for text in texts], tf.string, shape=[len(texts)])
    ragged = self._tokenizer.tokenize(encoded)
    return ragged.to_tensor(default_value=PAD, shape=[None, length]).numpy().astype(np.int32)

  def pieces(self, text: str) -> list[int]:
    """Returns the ids of all pieces of a text, without begin and end."""
    return self._tokenizer.tokenize(text.encode('utf-8', 'replace')).numpy().tolist()[1:-1]

  def unknown_characters(self, text: str) -> list[str]:
    """Returns the characters of a text for which there is no piece, each once; white space is none of them."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)
    found = processor.encode(text.encode('utf-8', 'replace').decode(), return_type='proto')
    surfaces = ''.join(piece.surface for piece in found.pieces if piece.id == UNKNOWN)
    return list(dict.fromkeys(''.join(surfaces.split())))

  def decode(self, tokens: np.ndarray) -> list[str]:
    """Returns the text of each row of ids; pad, begin and end leave no trace."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=self.model)
    return [processor.decode([int(token) for token in row if token > END]) for row in tokens]


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
  """Trains a unigram SentencePiece model of at most `vocabulary` pieces; equal texts give an equal model.

  Raises DataError if the texts hold no word or more distinct characters than `vocabulary` has room for.
  """
  sentences = (text.encode('utf-8', 'replace').decode()[:_MAX_CHARACTERS] for text in texts)
  try:
    return _train(sentences, model_type='unigram', vocab_size=vocabulary, hard_vocab_limit=False)
  except (RuntimeError, OSError) as error:
    reason = ' '.join(str(error).split())
    raise errors.DataError(
      f'cannot train a vocabulary of {vocabulary} pieces ({reason}): give more text or change vocabulary='
    ) from None


def of_characters() -> Tokenizer:
  """Makes the tokenizer whose pieces are the printable ASCII characters, each by itself."""
  alphabet = string.digits + string.ascii_letters + string.punctuation
  vocabulary = UNKNOWN + 1 + len(alphabet) + 1  # The space comes with the words.
  return _train([' '.join(alphabet)], model_type='char', vocab_size=vocabulary, add_dummy_prefix=False)


def _train(texts: Iterable[str], **settings: Any) -> Tokenizer:
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(texts),
    model_writer=model,
    pad_id=PAD,
    bos_id=BEGIN,
    eos_id=END,
    unk_id=UNKNOWN,
    num_threads=1,  # sums of several threads' floats would depend on the machine
    minloglevel=2,
    **settings,
  )
  return Tokenizer(model.getvalue())
