"""SentencePiece encoders keep both ends; an encoder is found in a folder and survives being carried as bytes."""

import io
import pathlib

from hypothesis import given
from hypothesis import strategies as st
import pytest
import sentencepiece

from data import errors
from data import sentencepieces
from data import text_encoders
from data import tokenizer
from data import wordpiece

_TEXTS = ['the loss of the model falls', 'a model learns the loss', 'in 1999, 2000, 2001, the loss', '"e" and e'] * 9
_VOCABULARY = b'[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n'


def _train(**arguments: object) -> bytes:
  model = io.BytesIO()
  defaults = {'vocab_size': 60, 'hard_vocab_limit': False, 'minloglevel': 2, 'pad_id': 0, 'unk_id': 1, 'bos_id': -1}
  defaults |= {'eos_id': -1, 'pad_piece': '<pad>', 'control_symbols': '[CLS],[SEP],[MASK]'}
  sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(_TEXTS), model_writer=model, **(defaults | arguments))
  return model.getvalue()


@pytest.fixture(scope='module', name='albert')
def _albert() -> sentencepieces.AlbertPieces:
  return sentencepieces.AlbertPieces(_train())  # ids: 0 <pad>, 1 <unk>, 2 [CLS], 3 [SEP], 4 [MASK]


@pytest.fixture(scope='module', name='own')
def _own() -> sentencepieces.OwnPieces:
  return sentencepieces.OwnPieces(tokenizer.train(_TEXTS, 50))


def _pieces(albert: sentencepieces.AlbertPieces, text: str) -> list[str]:
  """The pieces between [CLS] and [SEP]."""
  processor = sentencepiece.SentencePieceProcessor(model_proto=albert.serialized.partition(b'\n')[2])
  row = albert.encode([text], 40)[0].tolist()
  return [processor.id_to_piece(number) for number in row[1 : row.index(3)]]


def test_albert_has_its_own_special_ids(albert: sentencepieces.AlbertPieces):
  assert (albert.end_id, albert.mask_id) == (3, 4)
  row = albert.encode(['the model'], 30)[0].tolist()
  end = row.index(3)
  assert row[0] == 2 and end > 1 and min(row[1:end]) > 4 and not any(row[end + 1 :])
  assert albert.encode(['the loss of the model ' * 9, ''], 5)[:, [0, 4]].tolist() == [[2, 3], [2, 0]]


def test_albert_puts_texts_in_lower_case_and_drops_accents(albert: sentencepieces.AlbertPieces):
  plain = albert.encode(['the model "e" and e'], 30)
  assert (albert.encode(["  THE   m\u00f3del ``\u00e9'' and \u00c9 "], 30) == plain).all()
  cased = sentencepieces.AlbertPieces(_train(), cased=True)
  assert (cased.encode(['THE'], 9) != cased.encode(['the'], 9)).any()


def test_albert_parts_a_number_from_its_comma():
  symbols = {'user_defined_symbols': ['\u25811999,', '\u25811999', '2000,', '2000', ',']}
  albert = sentencepieces.AlbertPieces(_train(**symbols))
  assert _pieces(albert, 'in 1999, 2000,')[-5:] == ['\u25811999', ',', '\u2581', '2000', ',']


def test_own_pieces_keep_the_end(own: sentencepieces.OwnPieces):
  assert own.end_id == 2 and own.mask_id == own.vocabulary_size
  rows = own.encode(['the loss ' * 20, 'the', ''], 6)
  assert rows[:, 0].tolist() == [1, 1, 1]
  assert rows[0, -1] == 2 and (rows[0, :-1] != 0).all() and (rows[0] == 2).sum() == 1
  assert rows[2].tolist() == [1, 2, 0, 0, 0, 0]
  assert rows[1].tolist() == tokenizer.train(_TEXTS, 50).encode(['the'], 6)[0].tolist()


def test_an_encoder_is_found_again_in_the_files_it_was_left_in(albert, own, tmp_path: pathlib.Path):
  encoders = [albert, sentencepieces.AlbertPieces(_train(), cased=True), own]
  encoders += [wordpiece.WordPiece(_VOCABULARY, cased) for cased in (False, True)]
  for number, encoder in enumerate(encoders):
    folder = tmp_path / str(number)
    folder.mkdir()
    for name, content in text_encoders.files_of(encoder).items():
      (folder / name).write_bytes(content)
    assert text_encoders.tokenizer_of(folder).serialized == encoder.serialized


@given(st.lists(st.text(st.characters()), max_size=4), st.integers(3, 9))
def test_any_text_begins_and_ends(
  albert: sentencepieces.AlbertPieces, own: sentencepieces.OwnPieces, texts: list[str], length: int
):
  for encoder, begin in ((albert, 2), (own, 1)):
    rows = encoder.encode(texts, length)
    assert rows.shape == (len(texts), length)
    assert ((rows >= 0) & (rows < encoder.vocabulary_size)).all()
    for row in rows.tolist():
      assert row[0] == begin and encoder.end_id in row[1:]
      assert not any(row[row.index(encoder.end_id, 1) + 1 :])


def test_encoders_survive_as_bytes(albert: sentencepieces.AlbertPieces, own: sentencepieces.OwnPieces):
  cased = wordpiece.WordPiece(_VOCABULARY, cased=True)
  uncased = wordpiece.WordPiece(_VOCABULARY, cased=False)
  texts = ['The loss of THE model', '']
  for encoder in (albert, own, cased, uncased, sentencepieces.AlbertPieces(_train(), cased=True)):
    again = text_encoders.deserialize(encoder.serialized)
    assert type(again) is type(encoder) and again.serialized == encoder.serialized
    assert (again.encode(texts, 8) == encoder.encode(texts, 8)).all()
    assert (again.vocabulary_size, again.mask_id, again.end_id) == (
      encoder.vocabulary_size,
      encoder.mask_id,
      encoder.end_id,
    )
  for wrong in (b'', b'wordpiece\n', b'wordpiece loud\n', b'bytes\n'):
    with pytest.raises(ValueError, match='no text encoder begins with'):
      text_encoders.deserialize(wrong)


@pytest.mark.parametrize(
  ('config', 'piece', 'cased'),
  [
    (None, 'model', False),
    (None, 'Model', True),  # the vocabulary has capitals
    ('{"do_lower_case": true}', 'Model', False),
    ('{"do_lower_case": false}', 'model', True),
    ('{}', 'Model', True),
  ],
)
def test_a_folder_says_whether_capitals_are_kept(config: str | None, piece: str, cased: bool, tmp_path: pathlib.Path):
  (tmp_path / 'vocab.txt').write_bytes(_VOCABULARY + piece.encode() + b'\n')
  if config is not None:
    (tmp_path / 'tokenizer_config.json').write_text(config)
  found = text_encoders.tokenizer_of(tmp_path)
  assert isinstance(found, wordpiece.WordPiece) and found.cased == cased


def test_a_folder_with_a_spiece_model_is_albert(albert: sentencepieces.AlbertPieces, tmp_path: pathlib.Path):
  (tmp_path / 'spiece.model').write_bytes(albert.serialized.partition(b'\n')[2])
  assert text_encoders.tokenizer_of(tmp_path).serialized == albert.serialized
  (tmp_path / 'tokenizer_config.json').write_text('{"do_lower_case": false}')
  assert text_encoders.tokenizer_of(tmp_path).cased


@pytest.mark.parametrize(
  ('files', 'said'),
  [
    ({}, 'holds no vocab.txt, spiece.model or tokenizer.json: give'),
    ({'vocab.txt': b'the\n'}, 'in .*, the vocabulary lacks'),
    ({'spiece.model': b'junk'}, 'in .*no SentencePiece model'),
    ({'vocab.txt': _VOCABULARY, 'tokenizer_config.json': b'{'}, 'tokenizer_config.json.* is not a JSON object'),
    ({'vocab.txt': _VOCABULARY, 'tokenizer_config.json': b'3'}, 'tokenizer_config.json.* is not a JSON object'),
    (
      {'vocab.txt': _VOCABULARY, 'tokenizer_config.json': b'{"do_lower_case": true, "strip_accents": false}'},
      'strip_accents is False and do_lower_case True: not supported',
    ),
    (
      {'vocab.txt': _VOCABULARY, 'tokenizer_config.json': b'{"tokenize_chinese_chars": false}'},
      'tokenize_chinese_chars is False: only True is supported',
    ),
  ],
)
def test_folders_without_an_encoder_are_refused(files: dict[str, bytes], said: str, tmp_path: pathlib.Path):
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
  with pytest.raises(errors.DataError, match=said):
    text_encoders.tokenizer_of(tmp_path)


def test_other_sentencepiece_models_are_refused(own: sentencepieces.OwnPieces):
  with pytest.raises(errors.DataError, match=r'lacks \[CLS\], \[SEP\]: give the spiece.model of ALBERT'):
    sentencepieces.AlbertPieces(own.serialized.partition(b'\n')[2])
