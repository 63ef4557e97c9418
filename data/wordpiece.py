"""BERT's sub-words: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019 (DistilBERT's too)."""

import io

import numpy as np
import tokenizers

from data import errors

_PAD, _BEGIN, _END, _UNKNOWN, _MASK = '[PAD]', '[CLS]', '[SEP]', '[UNK]', '[MASK]'
_MAX_CHARACTERS_PER_WORD = 100  # a longer word is unknown, as in the original


class WordPiece:
  """Turns texts into rows of ids: [CLS], the longest pieces that the vocabulary has, [SEP], padding 0.

  The names of special tokens in a text are ordinary text.

  Attributes:
    vocabulary_size: Ids are below it.
    end_id: The id of [SEP].
    mask_id: The id of [MASK]; None if the vocabulary has none.
    cased: Whether capitals and accents are kept.
    padding_row: 0.
  """

  padding_row = 0

  def __init__(self, vocabulary: bytes, cased: bool):
    """Takes the content of a vocab.txt, a piece a line; raises DataError if it is none."""
    self.cased = cased
    self._vocabulary = vocabulary
    pieces = _read_pieces(vocabulary)
    id_of = {piece: number for number, piece in enumerate(pieces)}
    missing = [piece for piece in (_PAD, _UNKNOWN, _BEGIN, _END) if piece not in id_of]
    if missing or id_of[_PAD] != 0:
      wrong = f'lacks {", ".join(missing)}' if missing else f'does not begin with {_PAD}'
      raise errors.DataError(f'the vocabulary {wrong}: give the vocab.txt of a BERT model, a piece a line')
    self.vocabulary_size = len(pieces)
    self.end_id = id_of[_END]
    self.mask_id = id_of.get(_MASK)
    self._tokenizer = tokenizers.Tokenizer(
      tokenizers.models.WordPiece(id_of, unk_token=_UNKNOWN, max_input_chars_per_word=_MAX_CHARACTERS_PER_WORD)
    )
    self._tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased)
    self._tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [(piece, id_of[piece]) for piece in (_END, _BEGIN)]
    self._tokenizer.post_processor = tokenizers.processors.BertProcessing(*ends)

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `text_encoders.deserialize`."""
    return f'wordpiece {"cased" if self.cased else "uncased"}\n'.encode() + self._vocabulary

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before [SEP]."""
    self._tokenizer.enable_truncation(length)
    self._tokenizer.enable_padding(length=length)
    encoded = self._tokenizer.encode_batch([text.encode('utf-8', 'replace').decode() for text in texts])
    return np.array([row.ids for row in encoded], np.int32).reshape([len(texts), length])


def looks_cased(vocabulary: bytes) -> bool:
  """Whether a piece of a vocab.txt has a capital letter, so that texts are not meant to be put in lower case."""
  return any(piece != piece.lower() for piece in _read_pieces(vocabulary) if not piece.startswith('['))


def _read_pieces(vocabulary: bytes) -> list[str]:
  """Returns the lines, without a byte-order mark, and without the empty ones at the end, which are no pieces."""
  try:
    lines = io.TextIOWrapper(io.BytesIO(vocabulary), encoding='utf-8-sig').read().rstrip('\n')
  except UnicodeDecodeError as error:
    raise errors.DataError(
      f'the vocabulary is not UTF-8 at byte {error.start}: give the vocab.txt of a BERT model'
    ) from None
  return lines.split('\n') if lines else []
