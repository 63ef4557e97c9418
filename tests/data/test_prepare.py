"""A data set is prepared once, by its arguments, from training text only, and whole or not at all."""

import collections
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from data import cache
from data import errors
from data import federated_text
from data import partitions
from data import prepare
from data import source
from data.sources import text as text_lib

_ROOT = pathlib.Path(__file__).parents[2]

# Prepares JSON lines, and is killed by SIGKILL where the named function would be called.
_KILLED = """
import os, pathlib, signal, sys
from data import cache, partitions, prepare, spool, store
from data.sources import text

points = {'spool': (spool.Spool, 'count'), 'write': (store.Writer, 'finish'), 'publish': (cache, 'publish')}
owner, name = points[sys.argv[1]]
setattr(owner, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
prepare.prepare(text.text(path=sys.argv[2]), partitions.natural(), pathlib.Path(sys.argv[3]))
"""


def _examples(heldout: str = 'the held out text') -> list[tuple[str, source.Example]]:
  rows = [('pretrain', source.Example('p', 'the loss of the model'))]
  for number in range(12):
    rows.append(('train', source.Example(f'client {number % 4}', f'the model {number} learns', f'label {number % 3}')))
  return [*rows, ('train', source.Example('silent', '')), ('heldout', source.Example('h', heldout))]


def _source(fingerprint: str = 'f', rows=None, **arguments) -> source.TextSource:
  rows = _examples() if rows is None else rows
  return source.TextSource('small', fingerprint, lambda: rows, **({'vocabulary': 60} | arguments))


def _prepare(cache_dir: pathlib.Path, partition=None, **arguments) -> federated_text.FederatedText:
  return prepare.prepare(_source(**arguments), partition or partitions.natural(), cache_dir)


def _unread() -> list:
  raise AssertionError('read although cached')


def test_a_second_call_does_not_read_the_source(tmp_path: pathlib.Path):
  first = _prepare(tmp_path)
  again = prepare.prepare(source.TextSource('small', 'f', _unread, vocabulary=60), partitions.natural(), tmp_path)
  assert (again.database, again.dataset_hash) == (first.database, first.dataset_hash)


def test_whatever_it_depends_on_makes_another_file(tmp_path: pathlib.Path):
  made = [
    _prepare(tmp_path),
    _prepare(tmp_path, fingerprint='g'),
    _prepare(tmp_path, vocabulary=28),
    _prepare(tmp_path, sequence_length=5),
    _prepare(tmp_path, partition=partitions.iid(clients=3)),
    _prepare(tmp_path, partition=partitions.iid(clients=3, seed=1)),
  ]
  assert len({text.database for text in made}) == len(made)
  assert made[1].dataset_hash == made[0].dataset_hash
  assert len({text.dataset_hash for text in made[1:]}) == len(made) - 1
  assert made[3].tokens('train').shape == (12, 6)


def test_heldout_text_does_not_touch_the_tokenizer(tmp_path: pathlib.Path):
  other = _prepare(tmp_path, fingerprint='g', rows=_examples('zebras quiz jocks ' * 20))
  assert other.tokenizer.model == _prepare(tmp_path).tokenizer.model
  assert (other.tokens('heldout') == 3).any()


@pytest.mark.parametrize(
  'partition',
  [partitions.iid(clients=5), partitions.shards(clients=3, labels=2), partitions.dirichlet(alpha=0.05, clients=6)],
  ids=lambda partition: partition.fingerprint,
)
def test_a_partition_moves_training_examples_and_nothing_else(partition: partitions.Partition, tmp_path: pathlib.Path):
  before, after = _prepare(tmp_path), _prepare(tmp_path, partition=partition)
  wanted = int(partition.fingerprint.split('clients=')[1].split(',')[0])
  assert sorted(map(after.client_name, after.client_ids('train'))) == [f'client_{number}' for number in range(wanted)]
  rows = [collections.Counter(map(tuple, text.tokens('train').tolist())) for text in (before, after)]
  assert rows[0] == rows[1]
  for split in ('pretrain', 'heldout'):
    assert after.num_examples(split) == before.num_examples(split)
    np.testing.assert_array_equal(after.tokens(split), before.tokens(split))


@pytest.mark.parametrize(
  'rows', [[], [('heldout', source.Example('h', 'text'))], [('train', source.Example('a', '\n'))]]
)
def test_an_empty_data_set_is_refused_and_leaves_nothing(rows: list, tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match='no training text'):
    _prepare(tmp_path, rows=rows)
  assert [path.name for path in tmp_path.iterdir()] == ['prepare.lock']


def test_too_many_clients_and_missing_labels_are_refused(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match='13 clients are more than the 12'):
    _prepare(tmp_path, partition=partitions.iid(clients=13))
  unlabelled = [(split, example._replace(label=None)) for split, example in _examples()]
  with pytest.raises(errors.DataError, match='needs labels'):
    _prepare(tmp_path, rows=unlabelled, partition=partitions.shards(clients=2, labels=1))


def test_a_damaged_file_is_made_anew(tmp_path: pathlib.Path):
  first = _prepare(tmp_path)
  whole = first.database.read_bytes()
  for damage in (b'', b'junk' * 999, whole[:5000]):
    first.database.write_bytes(damage)
    assert _prepare(tmp_path).dataset_hash == first.dataset_hash
  assert first.database.read_bytes() == whole


def test_the_default_folder_is_used_and_progress_is_plain_without_a_terminal(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'new'))
  made = prepare.prepare(_source(), partitions.natural())
  assert made.database.parent == cache.default_dir() == tmp_path / 'new'
  assert capsys.readouterr().err.splitlines() == [
      'training a vocabulary on small: 13 sentences', 'tokenising small: 14 sentences',
  ]  # fmt: skip


@pytest.mark.parametrize('point', ['spool', 'write', 'publish'])
def test_a_killed_preparation_leaves_nothing_that_is_used(point: str, tmp_path: pathlib.Path):
  file = tmp_path / 'rows.jsonl'
  file.write_text(''.join(f'{{"client": "{n % 7}", "text": "the model {n} learns"}}\n' for n in range(300)))
  killed = subprocess.run(
      [sys.executable, '-c', _KILLED, point, file, tmp_path / 'killed'],
      env=os.environ | {'PYTHONPATH': str(_ROOT)}, capture_output=True, check=False,
  )  # fmt: skip
  assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
  left = sorted(path.suffix for path in (tmp_path / 'killed').iterdir())
  assert left == ['.lock', '.part', '.part']
  made = [
    prepare.prepare(text_lib.text(path=str(file)), partitions.natural(), tmp_path / folder)
    for folder in ('killed', 'calm')
  ]
  assert made[0].dataset_hash == made[1].dataset_hash
  assert sorted(path.suffix for path in (tmp_path / 'killed').iterdir()) == ['.lock', '.sqlite']


def test_of_characters_a_long_text_becomes_several_examples(tmp_path: pathlib.Path):
  rows = [('train', source.Example('c', 'abcdefghij')), ('train', source.Example('d', ''))]
  text = _prepare(tmp_path, rows=rows, vocabulary='characters', sequence_length=5)  # 4 characters beside begin and end
  tokens = text.tokens('train')
  assert text.tokenizer.decode(tokens) == ['abcd', 'efgh', 'ij']
  assert tokens.shape == (3, 6) and text.vocabulary_size == 99
  assert sorted(text.num_examples('train').values()) == [0, 3]


def test_another_word_for_a_vocabulary_is_refused():
  with pytest.raises(errors.DataError, match="vocabulary='letters' must be a number of pieces, or 'characters'"):
    _source(vocabulary='letters')


@pytest.mark.parametrize(
  ('rows', 'split', 'said'),
  [
    ([('train', 'a', 'words')], 'heldout', 'give examples of two clients at least'),
    ([('train', 'a', 'words'), ('heldout', 'b', ' ')], 'heldout', 'give examples of two clients at least'),
    ([('train', 'a', 'words'), ('heldout', 'b', '\u200b')], 'heldout', 'give examples of two clients at least'),
    ([('train', 'a', '\u200b'), ('heldout', 'b', 'words')], 'train', 'give it clients with examples to train on'),
  ],
)
def test_clients_without_a_single_example_are_refused_where_they_are_needed(
  rows: list[tuple[str, str, str]], split: str, said: str, tmp_path: pathlib.Path
):
  examples = [(part, source.Example(client, text)) for part, client, text in rows]
  lacking = source.TextSource('lacking', said + split, lambda: examples, vocabulary='characters')
  text = prepare.prepare(lacking, partitions.natural(), tmp_path)
  with pytest.raises(errors.DataError, match=f'no {split} client of the data set has an example: .*{said}'):
    text.clients(split)
