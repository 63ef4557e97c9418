"""A table of flags reads a command line and what a script gives alike."""

import dataclasses
import pathlib

from absl import flags
import numpy as np
import pytest

from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects


@pytest.fixture
def table():
  table = flag_table.FlagTable('b', defaults_for=lambda given: {'rounds': 5} if given.get('fast') else {})
  table.integer('rounds', 9, 'Rounds.', lower_bound=0)
  table.float('rate', 0.5, 'A rate.')
  table.bool('fast', False, 'Whether it is fast.')
  table.enum('kind', 'a', ['a', 'b'], 'A kind.')
  table.string('upload', 'identity', 'Takes specs.')
  table.string('output_dir', None, 'Takes none.')
  table.multi_string('runs', [], 'Folders. Repeatable.')
  return table


_DEFAULTS = dict(
  rounds=9, rate=0.5, fast=False, kind='a', upload='identity', output_dir=None, runs=[], plugin=[]
)  # fmt: skip


def test_a_command_line_is_read(table):
  assert table.parse(['b', '--rounds=3', '--runs=x', '--runs=y', 'rest']) == ['b', 'rest']
  assert table.parsed() == _DEFAULTS | dict(rounds=3, runs=['x', 'y'])
  assert table.parse(['b']) == ['b'] and table.parsed() == _DEFAULTS


def test_a_script_is_read_alike(table):
  given = dict(rounds=np.int64(3), rate=1, fast='true', kind='b', output_dir=pathlib.Path('a', 'b'), runs='x')
  expected = dict(rounds=3, rate=1.0, fast=True, kind='b', output_dir='a/b', runs=['x'])
  assert table.read(given) == _DEFAULTS | expected
  assert table.read({'runs': ['x', pathlib.Path('y')]})['runs'] == ['x', 'y']
  assert table.read({'rounds': '4', 'output_dir': None})['rounds'] == 4
  assert table.read({'upload': ['hadamard', 'uniform(bits=4)']})['upload'] == 'hadamard|uniform(bits=4)'
  own = _Own()
  assert table.read({'upload': own})['upload'] is own and table.read({'upload': ['sign', own]})['upload'] == [
    'sign',
    own,
  ]


def test_a_default_may_depend_on_another_flag(table):
  assert table.read({'fast': True})['rounds'] == 5
  assert table.read({'fast': True, 'rounds': 2})['rounds'] == 2
  table.parse(['b', '--fast'])
  assert table.parsed()['rounds'] == 5


def test_lists_are_not_shared_between_calls(table):
  table.read({})['runs'].append('x')
  assert table.read({})['runs'] == []


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ({'round': 3}, r"experiments.b has no flag 'round' \(did you mean 'rounds'\?\); it has fast, kind, "),
    ({'version': True}, "has no flag 'version'"),
    ({'rounds': 2.5}, 'rounds=2.5 is not what --rounds takes: '),
    ({'rounds': -1}, 'rounds=-1 is not what --rounds takes: '),
    ({'rounds': None}, 'rounds=None is not what --rounds takes: '),
    ({'kind': 'c'}, "kind='c' is not what --kind takes: "),
    ({'upload': 3}, 'upload=3 is not what --upload takes: '),
    ({'output_dir': 3}, 'output_dir=3 is not what --output_dir takes: '),
    ({'output_dir': object()}, 'is not what --output_dir takes: '),
    ({'runs': [3]}, r'runs=\[3\] is not what --runs takes: '),
  ],
)
def test_what_a_flag_does_not_take_is_refused(table, given, message):
  with pytest.raises(failures.UsageError, match=message):
    table.read(given)


def test_a_validator_is_heeded_by_both(table):
  table.check('rounds', lambda value: value != 4, 'must not be 4')
  with pytest.raises(flags.Error, match='must not be 4'):
    table.parse(['b', '--rounds=4'])
  with pytest.raises(failures.UsageError, match='must not be 4'):
    table.read({'rounds': 4})


def test_two_binaries_in_one_process_do_not_share_values(table):
  other = table.copy('c', rounds=(1, None))
  table.parse(['b', '--rounds=3'])
  assert other.read({})['rounds'] == 1 and table.read({})['rounds'] == 9


def test_what_is_recorded_names_the_running_binary(table):
  assert flag_table.called_binary() is None
  with table.called():
    assert flag_table.called_binary() == 'b'
  assert flag_table.called_binary() is None


@dataclasses.dataclass(frozen=True)
class _Own:
  size: int = 3


class _Plain:
  def __init__(self):
    self._size, self._inner = 5, object()


def _made(width):
  layer = _Plain()
  return lambda size: (size, width, layer)


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    ('uniform(bits=4)', 'uniform(bits=4)'),
    (3, 3),
    (None, None),
    (['a', 'b'], ['a', 'b']),
    (_Own(size=4), "object(name='_Own(size=4)')"),
    (_Plain(), "object(name='_Plain(size=5, inner=object())')"),
    (['hadamard', _Own()], "hadamard|object(name='_Own(size=3)')"),
    (_made(width=8), "object(name='_made(layer=_Plain(size=5, inner=object()), width=8)')"),
  ],
)
def test_what_a_run_records_of_a_value(value, expected):
  assert given_objects.recorded(value) == expected
  assert given_objects.is_one(value) == ('object(' in str(expected))
