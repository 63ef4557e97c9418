"""A tokenizer.json gives the ids of the library that wrote it, between its own special tokens, and survives as bytes."""

import json
import pathlib

from hypothesis import given
from hypothesis import strategies as st
import pytest
import tokenizers

from data import errors
from data import text_encoders
from data import tokenizer_json
from data import wordpiece
from tests import tokenizer_files

_TEXTS = ['the cat sat on the mat', 'The DOG, 1999', 'caf\u00e9 \u4f60\u597d \U0001f642', '', '   ', 'a dog ' * 20]
_ENDS = {'WordPiece': (2, 3), 'byte-level BPE': (0, 2), 'Unigram': (0, 2)}
_PADDING = {'WordPiece': 0, 'byte-level BPE': 1, 'Unigram': 1}


def _content(kind: str, **changes) -> bytes:
  return json.dumps(json.loads(tokenizer_files.KINDS[kind]()) | changes).encode()


def _library(kind: str) -> tokenizers.Tokenizer:
  return tokenizers.Tokenizer.from_str(tokenizer_files.KINDS[kind]())


def _ids(described: dict) -> list[list[int]]:
  return [row.ids for row in tokenizers.Tokenizer.from_str(json.dumps(described)).encode_batch(_TEXTS)]


@pytest.fixture(scope='module', name='encoders')
def _encoders() -> dict[str, tokenizer_json.JsonPieces]:
  return {kind: tokenizer_json.JsonPieces(_content(kind), {}) for kind in tokenizer_files.KINDS}


def _expected(kind: str, text: str, length: int) -> list[int]:
  """The ids of the library itself, cut off before the end, padded, and padding exchanged with 0."""
  ids, padding = _library(kind).encode(text).ids, _PADDING[kind]
  ids = ids if len(ids) <= length else [*ids[: length - 1], ids[-1]]
  ids += [padding] * (length - len(ids))
  return [{0: padding, padding: 0}.get(number, number) for number in ids]


@pytest.mark.parametrize('kind', tokenizer_files.KINDS)
def test_ids_are_those_of_the_library(kind, encoders):
  rows = encoders[kind].encode(_TEXTS, 12)
  assert rows.dtype == 'int32'
  assert rows.tolist() == [_expected(kind, text, 12) for text in _TEXTS]
  assert len(set(rows[0].tolist())) > 5


@pytest.mark.parametrize('kind', tokenizer_files.KINDS)
def test_special_tokens_are_those_of_the_file(kind, encoders):
  encoder, (begin, end), padding = encoders[kind], _ENDS[kind], _PADDING[kind]
  begin = padding if begin == 0 else begin  # <s> was 0, where padding is.
  assert encoder.encode([''], 4).tolist() == [[begin, end, 0, 0]]
  assert (encoder.end_id, encoder.mask_id, encoder.padding_row) == (end, 4, padding)
  assert encoder.vocabulary_size == _library(kind).get_vocab_size()


@pytest.mark.parametrize('kind', tokenizer_files.KINDS)
def test_what_a_file_ships_with_does_not_decide(kind, encoders):
  shipped = json.loads(_content(kind))
  shipped['truncation'] = {'direction': 'Left', 'max_length': 5, 'strategy': 'LongestFirst', 'stride': 0}
  shipped['padding'] = {'strategy': {'Fixed': 64}, 'direction': 'Left', 'pad_to_multiple_of': None}
  shipped['padding'] |= {'pad_id': 3, 'pad_type_id': 0, 'pad_token': '<unk>'}
  assert len(set(map(len, _ids(shipped)))) == 1 and _ids(shipped) != _ids(json.loads(_content(kind)))
  if kind == 'byte-level BPE':
    shipped['model']['dropout'] = 0.9
  encoder = tokenizer_json.JsonPieces(json.dumps(shipped).encode(), {})
  assert encoder.encode(_TEXTS, 12).tolist() == encoders[kind].encode(_TEXTS, 12).tolist()
  assert encoder.serialized == encoders[kind].serialized


@pytest.mark.parametrize('kind', tokenizer_files.KINDS)
def test_survives_as_bytes_and_as_files(kind, encoders, tmp_path: pathlib.Path):
  encoder = encoders[kind]
  again = text_encoders.deserialize(encoder.serialized)
  for name, content in text_encoders.files_of(encoder).items():
    (tmp_path / name).write_bytes(content)
  assert {path.name for path in tmp_path.iterdir()} == {'tokenizer.json', 'tokenizer_config.json'}
  for other in (again, text_encoders.tokenizer_of(tmp_path)):
    assert other.serialized == encoder.serialized
    assert other.encode(_TEXTS, 9).tolist() == encoder.encode(_TEXTS, 9).tolist()
    names = ('vocabulary_size', 'end_id', 'mask_id', 'padding_row')
    assert [getattr(other, name) for name in names] == [getattr(encoder, name) for name in names]


@pytest.mark.parametrize('kind', tokenizer_files.KINDS)
@pytest.mark.parametrize('processor', [None, {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True}])
def test_without_a_post_processor_the_configuration_or_the_usual_names_say_the_ends(
  kind, processor, encoders, tmp_path: pathlib.Path
):
  (tmp_path / 'tokenizer.json').write_bytes(_content(kind, post_processor=processor))
  rows = encoders[kind].encode(_TEXTS, 12).tolist()
  plain = text_encoders.tokenizer_of(tmp_path)
  assert plain.encode(_TEXTS, 12).tolist() == rows
  # What is exported adds them for whoever reads it with the library.
  exported = json.loads(text_encoders.files_of(plain)['tokenizer.json'])
  assert exported['post_processor']['cls'][1] == _ENDS[kind][0]
  unk, mask = ('[UNK]', '[MASK]') if kind == 'WordPiece' else ('<unk>', '<mask>')  # Ids 1 and 4, and 3 and 4.
  settings = {'bos_token': mask, 'eos_token': {'content': unk, 'lstrip': False}}
  (tmp_path / 'special_tokens_map.json').write_text(json.dumps(settings))
  named = text_encoders.tokenizer_of(tmp_path)
  assert named.encode([''], 3).tolist() == [[4, 1 if kind == 'WordPiece' else 3, 0]]


def test_padding_is_what_the_configuration_says(tmp_path: pathlib.Path):
  (tmp_path / 'tokenizer.json').write_bytes(_content('WordPiece'))
  (tmp_path / 'tokenizer_config.json').write_text('{"pad_token": "[MASK]"}')
  found = text_encoders.tokenizer_of(tmp_path)
  assert found.padding_row == 4
  assert found.encode([''], 3).tolist() == [[2, 3, 0]]
  assert found.mask_id == 0  # Which is the same token; nothing here hides a piece of a classifier.


def test_names_of_special_tokens_are_ordinary_text(encoders):
  row = encoders['byte-level BPE'].encode(['</s><pad>'], 20)[0].tolist()
  assert row.count(2) == 1 and row[: row.index(2)].count(0) == 0


def test_where_there_is_a_vocab_txt_it_counts(tmp_path: pathlib.Path):
  vocabulary = b'[PAD]\n[UNK]\n[CLS]\n[SEP]\nzebra\n'
  (tmp_path / 'tokenizer.json').write_bytes(_content('WordPiece'))
  (tmp_path / 'vocab.txt').write_bytes(vocabulary)
  assert text_encoders.tokenizer_of(tmp_path).serialized == wordpiece.WordPiece(vocabulary, cased=False).serialized


@pytest.mark.parametrize(
  ('settings', 'said'),
  [
    ({}, None),
    ({'do_lower_case': True, 'strip_accents': None, 'tokenize_chinese_chars': True}, None),
    ({'strip_accents': True}, None),  # As it does, with lower case.
    ({'do_lower_case': False}, 'do_lower_case is False, and lowercase in tokenizer.json means True'),
    ({'tokenize_chinese_chars': False}, 'handle_chinese_chars in tokenizer.json means True: correct one of them'),
    ({'pad_token': '<pad>'}, "pad_token is '<pad>', which tokenizer.json does not hold"),
    ({'pad_token': '[SEP]'}, 'no token that is padding alone'),
  ],
)
def test_a_configuration_at_odds_is_refused(settings, said, tmp_path: pathlib.Path):
  (tmp_path / 'tokenizer.json').write_bytes(_content('WordPiece'))
  (tmp_path / 'tokenizer_config.json').write_text(json.dumps(settings))
  if said is None:
    assert text_encoders.tokenizer_of(tmp_path).end_id == 3
  else:
    with pytest.raises(errors.DataError, match=said):
      text_encoders.tokenizer_of(tmp_path)


def _template(single, tokens):
  return {'type': 'TemplateProcessing', 'single': single, 'pair': [], 'special_tokens': tokens}


_A = {'Sequence': {'id': 'A', 'type_id': 0}}
_CLS = {'SpecialToken': {'id': '[CLS]', 'type_id': 0}}


_UNSOUND = {
  'empty': (b'', 'is truncated or no JSON object with a model: copy it again'),
  'truncated': (b'{"model": {"type": "WordPiece", "voc', 'is truncated or no JSON object with a model'),
  'list': (b'[1]', 'no JSON object with a model'),
  'number for a model': (b'{"model": 3}', 'no JSON object with a model'),
  'deep': (b'[' * 100_000, 'no JSON object with a model'),
  'other model': (b'{"model": {"type": "WordLevel"}}', "of type 'WordLevel': only WordPiece, BPE, Unigram can be read"),
  'no name of a model': (b'{"model": {"type": ["BPE"]}}', r"holds a model of type \['BPE'\]: only"),
  'negative id': (b'{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}', 'is no sound tokenizer'),
  'unknown merge': (b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}', 'is no sound tokenizer'),
  'no pieces': (
    b'{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}',
    'does not say',
  ),
  'no ends': (
    _content('WordPiece', post_processor=None, added_tokens=[]).replace(b'[CLS]', b'[BEG]'),
    'does not say which tokens begin and end a text: name cls_token and sep_token',
  ),
  'no unknown': (
    _content('WordPiece').replace(b'"unk_token": "[UNK]"', b'"unk_token": "[HUH]"'),
    'is no sound tokenizer',
  ),
  'number for a post-processor': (_content('WordPiece', post_processor=3), 'the post-processor of .* is unsound'),
  'template without its tokens': (
    _content('WordPiece', post_processor=_template([_CLS, _A], {})),
    'the post-processor of tokenizer.json is unsound: copy it again',
  ),
  'one end': (
    _content('WordPiece', post_processor=_template([_CLS, _A], {'[CLS]': {'ids': [2], 'tokens': ['[CLS]']}})),
    r'post-processor of tokenizer.json adds \[CLS\], not one token at each end',
  ),
  'other ids': (
    _content('WordPiece', post_processor={'type': 'BertProcessing', 'cls': ['[CLS]', 3], 'sep': ['[SEP]', 2]}),
    r'takes \[CLS\] for 3, its vocabulary does not',
  ),
}


@pytest.mark.parametrize(('content', 'said'), _UNSOUND.values(), ids=_UNSOUND)
def test_other_files_are_refused_in_one_line(content, said, tmp_path: pathlib.Path, capfd):
  (tmp_path / 'tokenizer.json').write_bytes(content)
  with pytest.raises(errors.DataError, match=said) as caught:
    text_encoders.tokenizer_of(tmp_path)
  assert len(str(caught.value).splitlines()) == 1
  assert capfd.readouterr().err == ''  # The library has not panicked.


@given(st.lists(st.text(st.characters()), max_size=4), st.integers(3, 9))
def test_any_text_begins_and_ends(encoders, texts, length):
  for kind in ('WordPiece', 'byte-level BPE'):
    encoder, begin = encoders[kind], 2 if kind == 'WordPiece' else 1
    rows = encoder.encode(texts, length)
    assert rows.shape == (len(texts), length)
    assert ((rows >= 0) & (rows < encoder.vocabulary_size)).all()
    for row in rows.tolist():
      assert row[0] == begin and row.count(encoder.end_id) == 1
      assert not any(row[row.index(encoder.end_id) + 1 :])
