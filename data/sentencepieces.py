"""SentencePiece vocabularies as encoders of whole texts: ALBERT's, and the one of the suite's own language models."""

import re
import unicodedata

import numpy as np
import sentencepiece

from data import errors
from data import tokenizer as tokenizer_lib

_PAD, _BEGIN, _END, _MASK = '<pad>', '[CLS]', '[SEP]', '[MASK]'
_SPACE = '\u2581'  # how a piece says that a word begins
_NUMBER_AND_COMMA = re.compile(r'.*\d,', re.DOTALL)


class AlbertPieces:
  """Turns texts into rows of ids: [CLS], pieces, [SEP], padding 0; Lan et al., "ALBERT", 2020.

  Attributes:
    vocabulary_size: Ids are below it.
    end_id: The id of [SEP].
    mask_id: The id of [MASK]; None if the vocabulary has none.
    cased: Whether capitals are kept; the published models are uncased.
    padding_row: 0.
  """

  padding_row = 0

  def __init__(self, model: bytes, cased: bool = False):
    """Takes the content of a spiece.model; raises DataError if it is none of ALBERT's."""
    self.cased = cased
    self._model = model
    self._processor = sentencepiece.SentencePieceProcessor()
    try:
      self._processor.LoadFromSerializedProto(model)
    except RuntimeError:
      raise errors.DataError('the vocabulary is no SentencePiece model: give the spiece.model of ALBERT') from None
    id_of = {piece: self._processor.piece_to_id(piece) for piece in (_PAD, _BEGIN, _END, _MASK)}
    found = {piece: number for piece, number in id_of.items() if self._processor.id_to_piece(number) == piece}
    missing = [piece for piece in (_PAD, _BEGIN, _END) if piece not in found]
    if missing or found[_PAD] != 0:
      wrong = f'lacks {", ".join(missing)}' if missing else f'does not begin with {_PAD}'
      raise errors.DataError(f'the vocabulary {wrong}: give the spiece.model of ALBERT')
    self.vocabulary_size = self._processor.vocab_size()
    self._begin_id, self.end_id, self.mask_id = found[_BEGIN], found[_END], found.get(_MASK)

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `text_encoders.deserialize`."""
    return f'albert {"cased" if self.cased else "uncased"}\n'.encode() + self._model

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before [SEP]."""
    rows = np.zeros([len(texts), length], np.int32)
    for row, pieces in zip(rows, self._processor.encode(list(map(self._normalize, texts)), out_type=str), strict=True):
      ids = [number for piece in pieces for number in self._ids(piece)][: length - 2]
      row[: len(ids) + 2] = [self._begin_id, *ids, self.end_id]
    return rows

  def _normalize(self, text: str) -> str:
    text = ' '.join(text.encode('utf-8', 'replace').decode().split()).replace('``', '"').replace("''", '"')
    text = ''.join(c for c in unicodedata.normalize('NFKD', text) if not unicodedata.combining(c))
    return text if self.cased else text.lower()

  def _ids(self, piece: str) -> list[int]:
    """The id of a piece; of a number with a comma, those of the number, cut anew, and of the comma."""
    if not _NUMBER_AND_COMMA.fullmatch(piece):
      return [self._processor.piece_to_id(piece)]
    number = self._processor.encode(piece[:-1].replace(_SPACE, ''), out_type=str)
    if not piece.startswith(_SPACE):
      number = [number[0].removeprefix(_SPACE), *number[1:]] if number[0] != _SPACE else number[1:]
    return [self._processor.piece_to_id(part) for part in [*number, ',']]


class OwnPieces:
  """The sub-words of the suite's own language models: begin 1, pieces, end 2, padding 0; unknown is 3.

  Attributes:
    vocabulary_size: Ids of texts are below it.
    end_id: 2.
    mask_id: `vocabulary_size`: a model that sees masks needs one more row than that.
    padding_row: 0.
  """

  end_id = tokenizer_lib.END
  padding_row = tokenizer_lib.PAD

  def __init__(self, tokenizer: tokenizer_lib.Tokenizer):
    self._tokenizer = tokenizer
    self.vocabulary_size = self.mask_id = tokenizer.vocabulary_size

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `text_encoders.deserialize`."""
    return b'own\n' + self._tokenizer.model

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before the end."""
    rows = self._tokenizer.encode(texts, length)
    rows[rows[:, -1] != tokenizer_lib.PAD, -1] = tokenizer_lib.END
    return rows
