"""Generates a population of any size in the SQLite layout of TFF's Stack Overflow, to try out what large ones cost."""

from collections.abc import Iterator
import contextlib
import pathlib
import sqlite3

import numpy as np
import tensorflow as tf

from data import arguments
from data import cache
from data import errors
from data import progress

_FORMAT = 2  # of the generated file
_TRAIN_CLIENTS_PER_OTHER_CLIENT = 10
_TAIL_EXPONENT = 1.3  # P(a client has at least k sentences) = 1 / k^1.3: 3.1 on average below the maximum
_MAX_SENTENCES = 100
_MIN_WORDS, _MAX_WORDS = 3, 17
_VOCABULARY = 2000
_CONSONANTS, _VOWELS = 'bdfgklmnprstvz', 'aeiou'
_TAGS = ('python', 'javascript', 'java', 'sql', 'html', 'git', 'linux', 'regex')
_CLIENTS_PER_DRAW = 10_000

_SCHEMA = """
CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL, serialized_example_proto BLOB NOT NULL);
CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL, num_examples INTEGER NOT NULL);
"""


def cached(num_clients: int, seed: int = 0, cache_dir: pathlib.Path | None = None) -> pathlib.Path:
  """Returns the file of a population, which it generates unless it is in the cache.

  Args:
    num_clients: Training clients, from 1 to 10,000,000.
    seed: Decides the content.
    cache_dir: Folder of the file; `data.cache.default_dir()` if None.

  Raises DataError if an argument is out of range or the folder cannot be written.
  """
  cache_dir = cache.default_dir() if cache_dir is None else cache_dir.absolute()
  database = cache_dir / f'population-{_FORMAT}-{num_clients}-{seed}.sqlite'
  if not database.exists():
    with cache.exclusive(cache_dir):
      if not database.exists():  # another process may have been faster
        write(database, num_clients, seed)
  return database


def write(database: pathlib.Path, num_clients: int, seed: int = 0) -> None:
  """Writes `num_clients` training clients and a tenth as many of TFF's heldout and test each; equal arguments give equal content.

  A client has a heavy-tailed number of sentences, 1 to 100 and about 3 on average, of 3 to 17 words that are drawn from a
  vocabulary of 2,000 by Zipf's law. Memory does not grow with the number of clients. Shows progress on standard error.
  The file gets its name when it is whole. Raises DataError if an argument is out of range or it cannot be written.
  """
  arguments.require_integer('num_clients', num_clients, 1, 10_000_000)
  arguments.require_integer('seed', seed, 0, 2**32 - 1)
  others = max(1, num_clients // _TRAIN_CLIENTS_PER_OTHER_CLIENT)
  sizes = {'train': num_clients, 'heldout': others, 'test': others}
  try:
    with cache.temporary(database) as unfinished:
      unfinished.unlink(missing_ok=True)
      with contextlib.closing(sqlite3.connect(unfinished)) as connection:
        _fill(connection, sizes, seed)
      cache.publish(unfinished, database)
  except (OSError, sqlite3.Error) as error:
    raise errors.DataError(f'cannot write {str(database)!r} ({error}): free space or choose another folder') from None


def _fill(connection: sqlite3.Connection, sizes: dict[str, int], seed: int) -> None:
  connection.execute('PRAGMA journal_mode = OFF')
  connection.execute('PRAGMA synchronous = OFF')
  connection.executescript(_SCHEMA)
  with progress.Progress('client', sum(sizes.values()), task='generating a population') as bar:
    for split, clients, counts, protos in _draws(sizes, np.random.default_rng(seed)):
      owners = np.repeat(clients, counts).tolist()
      rows = ((split, owner, proto) for owner, proto in zip(owners, protos, strict=True))
      connection.executemany('INSERT INTO examples VALUES (?, ?, ?)', rows)
      metadata = zip(clients, [split] * len(clients), counts.tolist(), strict=True)
      connection.executemany('INSERT INTO client_metadata VALUES (?, ?, ?)', metadata)
      bar.advance(len(clients))
  connection.commit()


_Draw = tuple[str, list[str], np.ndarray, Iterator[bytes]]


def _draws(sizes: dict[str, int], rng: np.random.Generator) -> Iterator[_Draw]:
  """Yields (split, client ids, number of examples of each, all their examples), some thousand clients at a time."""
  words = _words(rng)
  frequencies = 1 / np.arange(1, len(words) + 1)
  cumulated = np.cumsum(frequencies / frequencies.sum())
  first = 0
  for split, size in sizes.items():
    for start in range(first, first + size, _CLIENTS_PER_DRAW):
      clients = [f'{number:08d}' for number in range(start, min(start + _CLIENTS_PER_DRAW, first + size))]
      uniform = 1 - rng.random(len(clients))  # never 0
      counts = np.minimum(uniform ** (-1 / _TAIL_EXPONENT), _MAX_SENTENCES).astype(np.int64)
      yield split, clients, counts, _examples(int(counts.sum()), words, cumulated, rng)
    first += size


def _words(rng: np.random.Generator) -> np.ndarray:
  """Returns the vocabulary, the most frequent word first; words of two syllables come before those of three."""
  syllables = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
  pairs = [first + second for first in syllables for second in syllables]
  return rng.permutation(pairs)[:_VOCABULARY]


def _examples(num_examples: int, words: np.ndarray, cumulated: np.ndarray, rng: np.random.Generator) -> Iterator[bytes]:
  """Yields serialized examples with the six features of TFF's Stack Overflow."""
  lengths = rng.integers(_MIN_WORDS, _MAX_WORDS + 1, num_examples)
  drawn = words[np.minimum(np.searchsorted(cumulated, rng.random(lengths.sum())), len(words) - 1)].tolist()
  ends = np.cumsum(lengths).tolist()
  scores = rng.integers(-2, 30, num_examples).tolist()
  tags = rng.integers(0, len(_TAGS), num_examples).tolist()
  for start, end, score, tag in zip([0, *ends], ends, scores, tags, strict=False):
    yield _serialize(
      score,
      creation_date='2010-01-08 09:34:05 UTC',
      tags=_TAGS[tag],
      title=drawn[start],
      tokens=' '.join(drawn[start:end]),
      type='question' if score % 2 else 'answer',
    )


def _serialize(score: int, **texts: str) -> bytes:
  example = tf.train.Example()
  features = example.features.feature
  features['score'].int64_list.value.append(score)
  for name, text in texts.items():
    features[name].bytes_list.value.append(text.encode())
  return example.SerializeToString(deterministic=True)
