"""Every wrong argument of a data set or partition is one clear line, before any data is read."""

import functools
import math
import os
import pathlib
import re

import pytest

from data import arguments
from data import catalog
from data import errors
from data import source

_WRONG_DATASETS = [
  ('docstrings', {'min_tokens': -1}, 'min_tokens=-1'),
  ('docstrings', {'min_tokens': True}, 'min_tokens=True'),
  ('docstrings', {'vocabulary': 7}, 'vocabulary=7'),
  ('docstrings', {'vocabulary': 4000.0}, 'vocabulary=4000.0'),
  ('docstrings', {'sequence_length': 0}, 'sequence_length=0'),
  ('stackoverflow', {'max_clients': 0}, 'max_clients=0'),
  ('stackoverflow', {'path': 'absent.sqlite'}, 'absent.sqlite'),
  ('shakespeare', {'path': 'absent.sqlite'}, 'absent.sqlite'),
  ('shakespeare', {'path': '.'}, 'is a folder'),
  ('text', {}, "text(path='...')"),
  ('text', {'path': ''}, "text(path='...')"),
  ('text', {'path': 3}, "text(path='...')"),
  ('text', {'path': 'absent'}, 'absent'),
  ('text', {'path': 'a\0b'}, 'null character'),
  ('text', {'path': 'x' * 5000}, 'no such file'),
  ('text', {'path': '.'}, 'a folder or a .txt file for each client is needed'),
  ('text', {'path': '~nobody-at-all/x'}, 'is of an unknown user'),
  ('leaf', {'path': 'absent'}, 'absent'),
  ('leaf', {'path': '.'}, 'no .json file'),
  ('leaf', {'path': '.', 'field': -1}, 'field=-1'),
]

_WRONG_PARTITIONS = [
  ('iid', {'clients': 0}, 'clients=0'),
  ('iid', {'clients': 2.5}, 'clients=2.5'),
  ('iid', {'clients': 2, 'seed': -1}, 'seed=-1'),
  ('shards', {'clients': 2, 'labels': 0}, 'labels=0'),
  ('dirichlet', {'clients': 2, 'alpha': 0}, 'alpha=0'),
  ('dirichlet', {'clients': 2, 'alpha': float('nan')}, 'alpha=nan'),
  ('dirichlet', {'clients': 2, 'alpha': 'x'}, "alpha='x'"),
]


@pytest.mark.parametrize(('name', 'wrong', 'said'), _WRONG_DATASETS)
def test_a_wrong_argument_of_a_data_set_is_named_in_one_line(name, wrong, said, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(errors.DataError) as raised:
    catalog.DATASETS[name](**wrong)
  assert said in str(raised.value)
  assert '\n' not in str(raised.value)


@pytest.mark.parametrize(('name', 'wrong', 'said'), _WRONG_PARTITIONS)
def test_a_wrong_argument_of_a_partition_is_named_in_one_line(name, wrong, said):
  with pytest.raises(errors.DataError) as raised:
    catalog.PARTITIONS[name](**wrong)
  assert said in str(raised.value)


def test_an_unreadable_path_is_refused(tmp_path: pathlib.Path, monkeypatch):
  monkeypatch.setattr(os, 'access', lambda *_: False)  # root, who may run this test, can read everything
  with pytest.raises(errors.DataError, match='permissions'):
    arguments.require_path('text', tmp_path)


def test_a_changed_file_changes_its_description(tmp_path: pathlib.Path):
  file = tmp_path / 'a'
  file.write_text('one')
  before = arguments.describe_files(tmp_path, [file])
  file.write_text('three')
  assert arguments.describe_files(tmp_path, [file]) != before


def test_data_sets_pass_vocabulary_and_sequence_length_on():
  made = catalog.DATASETS['docstrings'](vocabulary=100, sequence_length=7)
  assert (made.vocabulary, made.sequence_length) == (100, 7)
  assert source.TextSource('a', 'b', list).sequence_length == 30


@pytest.mark.parametrize(
  ('check', 'accepted', 'refused', 'said'),
  [
    (
      functools.partial(arguments.check_whole, 1),
      [1, 10**9],
      [0, 1.0, True, '1', None],
      'a whole number of at least 1',
    ),
    (functools.partial(arguments.check_whole, 2, 2**16), [2, 2**16], [1, 2**16 + 1], 'whole number from 2 to 65,536'),
    (functools.partial(arguments.check_within, '(0, 1]'), [1e-9, 1, 1.0], [0, 1.1, math.nan, True, '1'], '(0, 1]'),
    (functools.partial(arguments.check_within, '[0, 1)'), [0, 0.0, 0.9], [-0.1, 1, math.inf], 'must lie in [0, 1)'),
    (arguments.check_positive, [1e-9, 3], [0, -1, math.inf, math.nan, True], 'must be a positive number'),
    (arguments.check_not_negative, [0, 3.5], [-1e-9, math.inf, math.nan, False], 'must be 0 or a positive number'),
    (arguments.check_bool, [True, False], [1, 0, None, 'True'], 'must be True or False'),
    (functools.partial(arguments.check_one_of, dict(a=1, b=2)), ['a', 'b'], ['c', None, []], 'must be one of a, b'),
  ],
)
def test_a_check_takes_what_it_says_and_names_what_it_refuses(check, accepted, refused, said):
  check(**{f'fine_{number}': value for number, value in enumerate(accepted)})
  for value in refused:
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
      check(fine=accepted[0], argument=value)
    assert str(raised.value).startswith('argument must ')
    assert str(raised.value).endswith(f'not {value!r}')
