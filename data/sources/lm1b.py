"""The One Billion Word benchmark in its own file layout: Chelba et al. 2013 (arXiv 1312.3005), one sentence a line."""

from collections.abc import Iterator
import itertools
import pathlib

from data import arguments
from data import errors
from data import source

_ROOT = '1-billion-word-language-modeling-benchmark-r13output'
# By split: the folder and the files. The folder of held-out text also has a copy of all of it, news.en-00000-of-00100.
_PARTS = {
  'pretrain': ('training-monolingual.tokenized.shuffled', 'news.en-*-of-00100'),
  'heldout': ('heldout-monolingual.tokenized.shuffled', 'news.en.heldout-*-of-00050'),
}


def lm1b(
  path: str | None = None,
  max_sentences: int = 1_000_000,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Reads the unpacked One Billion Word Benchmark: text to pre-train on, and held-out text, but no clients to train.

  Args:
    path: The folder that the archive unpacks to, or the one that holds it; must be given.
    max_sentences: At most so many of each of the two, from the first file on; the benchmark is shuffled.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Returns:
    The source; a file stands for a client.

  Raises:
    DataError: For arguments out of range and files that are missing.
  """
  root = arguments.require_path('lm1b', path)
  arguments.require_integer('max_sentences', max_sentences, 1, 1_000_000_000)
  if (root / _ROOT).is_dir():
    root /= _ROOT
  files = {split: sorted((root / folder).glob(names)) for split, (folder, names) in _PARTS.items()}
  for split, (folder, names) in _PARTS.items():
    if not files[split]:
      raise errors.DataError(f'{str(root / folder)!r} holds no {names}: give lm1b the folder {_ROOT}, unpacked')
  described = arguments.describe_files(root, [file for part in files.values() for file in part])
  return source.TextSource(
    name='lm1b',
    fingerprint='\n'.join([f'max_sentences={max_sentences}', *described]),
    read=lambda: _read(files, max_sentences),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _read(files: dict[str, list[pathlib.Path]], max_sentences: int) -> Iterator[tuple[str, source.Example]]:
  for split, part in files.items():
    examples = (example for file in part for example in _sentences(file))
    for example in itertools.islice(examples, max_sentences):
      yield split, example


def _sentences(file: pathlib.Path) -> Iterator[source.Example]:
  try:
    with file.open(encoding='utf-8', newline='\n') as lines:
      for line in lines:
        if line.strip():
          yield source.Example(file.name, line.strip())
  except UnicodeDecodeError as error:
    raise errors.DataError(f'{str(file)!r} is not UTF-8 ({error.reason}): unpack the benchmark again') from None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
