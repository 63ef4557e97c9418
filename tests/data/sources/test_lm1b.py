"""The One Billion Word benchmark is read from the files that its archive unpacks to."""

import pathlib

import pytest

from data import errors
from data.sources import lm1b

_FOLDER = '1-billion-word-language-modeling-benchmark-r13output'
_TRAINING = 'training-monolingual.tokenized.shuffled'
_HELDOUT = 'heldout-monolingual.tokenized.shuffled'


@pytest.fixture
def benchmark(tmp_path: pathlib.Path) -> pathlib.Path:
  root = tmp_path / _FOLDER
  for name, lines in {
    f'{_TRAINING}/news.en-00002-of-00100': ['Fourth .'],
    f'{_TRAINING}/news.en-00001-of-00100': [
      'First , it rained .',
      '',
      'Then it d\u00e9j\u00e0 vu\u2028ed .',
      'Third .',
    ],
    f'{_TRAINING}/README': ['not a sentence'],
    f'{_HELDOUT}/news.en.heldout-00000-of-00050': ['Held out .'],
    f'{_HELDOUT}/news.en-00000-of-00100': ['A copy of what is held out .'],
  }.items():
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(''.join(line + '\n' for line in lines), encoding='utf-8')
  return root


@pytest.mark.parametrize('unpacked', [True, False])
def test_reads_a_sentence_a_line_in_the_order_of_the_files(benchmark, unpacked):
  found = list(lm1b.lm1b(path=str(benchmark if unpacked else benchmark.parent)).read())
  assert [(split, example.client, example.text) for split, example in found] == [
    ('pretrain', 'news.en-00001-of-00100', 'First , it rained .'),
    ('pretrain', 'news.en-00001-of-00100', 'Then it d\u00e9j\u00e0 vu\u2028ed .'),
    ('pretrain', 'news.en-00001-of-00100', 'Third .'),
    ('pretrain', 'news.en-00002-of-00100', 'Fourth .'),
    ('heldout', 'news.en.heldout-00000-of-00050', 'Held out .'),
  ]


def test_reads_no_more_sentences_than_asked_for(benchmark):
  source = lm1b.lm1b(path=str(benchmark), max_sentences=2)
  assert [split for split, _ in source.read()] == ['pretrain', 'pretrain', 'heldout']
  assert source.fingerprint != lm1b.lm1b(path=str(benchmark), max_sentences=3).fingerprint


@pytest.mark.parametrize(
  ('part', 'said'),
  [
    (_TRAINING, 'holds no news.en-\\*-of-00100: give lm1b the folder 1-billion'),
    (_HELDOUT, 'holds no news.en.heldout-\\*-of-00050'),
  ],
)
def test_missing_files_are_named(benchmark, part, said):
  for file in (benchmark / part).glob('news*'):
    file.unlink()
  with pytest.raises(errors.DataError, match=said):
    lm1b.lm1b(path=str(benchmark))


def test_a_file_that_is_not_text_is_named(benchmark):
  (benchmark / _TRAINING / 'news.en-00002-of-00100').write_bytes(b'\xff\xfe')
  with pytest.raises(errors.DataError, match=r'00002-of-00100.* is not UTF-8'):
    list(lm1b.lm1b(path=str(benchmark)).read())


@pytest.mark.parametrize('arguments', [{}, {'path': '/no/such/folder'}, {'path': '.', 'max_sentences': 0}])
def test_bad_arguments_are_refused(arguments):
  with pytest.raises(errors.DataError):
    lm1b.lm1b(**arguments)
