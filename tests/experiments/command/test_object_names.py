"""Objects that differ in what they hold have different names, and each has one name in every process."""

import dataclasses
import functools
import pathlib
import sys

import numpy as np
import pytest

from compression import codec
from compression import update_codec
from compression.stages import uniform
from experiments.command import object_names


def build(width):
  """Stands for what builds a model."""
  return width


def _closure(width):
  return lambda size: width


def _default(width):
  return lambda size, width=width: width


class Holder:
  """Holds one value."""

  def __init__(self, value):
    self._value = value

  def method(self):
    """Is given as a bound method."""


class _Slotted:
  __slots__ = ('value',)

  def __init__(self, value):
    self.value = value


@dataclasses.dataclass(frozen=True)
class _Base:
  size: int = 1


class _OwnInit(_Base):
  def __init__(self, value):
    super().__init__()
    object.__setattr__(self, 'value', value)


@dataclasses.dataclass
class _Silent:
  value: object

  def __repr__(self):
    raise RuntimeError('no text')


_MAKES = [
  lambda value: functools.partial(build, width=value),
  lambda value: functools.partial(build, value),
  _closure,
  _default,
  Holder,
  _Slotted,
  _OwnInit,
  _Silent,
  lambda value: Holder(value).method,
  lambda value: Holder([value]),
  lambda value: Holder((1, Holder(value))),
  lambda value: Holder({'a': Holder(value)}),
  lambda value: Holder({'a', value}),
  lambda value: Holder([np.full([3], value)]),
  lambda value: Holder(np.array([value, None])),
  lambda value: Holder(pathlib.Path(str(value))),
  lambda value: Holder(float(value) * float('inf')),
  lambda value: Holder(_closure(value)),
  lambda value: Holder([[[[[[value]]]]]]),
  lambda value: update_codec.UpdateCodec(codec.Codec([uniform.Uniform(bits=value)])),
]


@pytest.mark.parametrize('make', _MAKES)
def test_what_an_object_holds_tells_it_from_another(make):
  one, two, again = (object_names.called(make(value)) for value in (8, -4 if make is _MAKES[16] else 4, 8))
  assert one != two and one == again
  assert ' at 0x' not in one and '\n' not in one


def test_objects_that_hold_themselves_and_modules_have_a_name():
  cyclic = Holder(None)
  cyclic._value = [cyclic] * 50
  for value in (cyclic, Holder(sys), Holder(_closure(sys)), Holder(Holder)):
    assert len(object_names.called(value)) < 200


def test_sets_are_told_in_one_order():
  expected = "Holder(value={'block_0', 'block_1', 'embedding', 'head'})"
  assert object_names.called(Holder({'head', 'embedding', 'block_0', 'block_1'})) == expected
