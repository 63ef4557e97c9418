"""What clients ask for: their own sub-words, most frequent first, and random units that no two draws share."""

import contextlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from models import lstm
from models import model as model_lib
from optimizers import catalog
from optimizers import devices as devices_lib
from optimizers import randomness
from optimizers import selection as selection_lib
from optimizers import unit_keys
from tests import tiny_language
from tests import tiny_task

_TASK = tiny_language.task()
_LARGER = tiny_language.task(mlp_width=512, num_layers=12, num_heads=8)
_RANDOM_AXES = dict(neurons=dict(neurons=0.5), heads=dict(heads=0.5), blocks=dict(blocks=6))
_COUNTS = dict(neurons=(16, 32), heads=(4, 8), blocks=(6, 12))  # 512 neurons are 32 keys of 16.


def _seed(client_key=1, round_number=1, run=0):
  round_seed = tf.random.experimental.stateless_fold_in(tf.constant([run, 0], tf.int64), round_number)
  return randomness.client_seed(round_seed, tf.constant(client_key, tf.int64), randomness.Purpose.SELECTION)


def _keys(axis, task, examples=None, seed=None, **arguments):
  examples = tiny_language.client(1) if examples is None else examples
  keys = selection_lib.Selection(**arguments).keys(task, examples, _seed() if seed is None else seed)
  return np.asarray(keys[axis])


def _sub_words(tokens, count):
  keys = _keys('vocabulary', _TASK, tiny_language.of_tokens(tokens), vocabulary=count)
  return set(np.asarray(unit_keys.units_of(_TASK.model, 'vocabulary', tf.constant(keys))).tolist())


@pytest.mark.parametrize('per_key', [1, 4])
def test_all_of_the_clients_own_sub_words_and_the_special_ones(per_key):
  with mock.patch.dict(unit_keys._PREFERRED, vocabulary=per_key):
    found = _sub_words([1, 9, 17, 9, 30, 2, 0], 16)
  assert len(found) == 16
  assert {0, 1, 2, 3, 9, 17, 30} <= set(found)
  assert all(0 <= sub_word < 32 for sub_word in found)


def test_groups_count_together():
  with mock.patch.dict(unit_keys._PREFERRED, vocabulary=4):
    found = _sub_words([20, 20, 20, 8, 9, 10, 11], 8)
  assert found == {0, 1, 2, 3, 8, 9, 10, 11}


def test_the_most_frequent_ones_if_there_are_too_many():
  tokens = np.repeat([20, 10, 25, 15, 30, 5], [9, 7, 5, 3, 2, 2])
  # 4 special ones leave 4 of 8; of 30 and 5, which are as frequent, none has room.
  assert _sub_words(tokens, 8) == {0, 1, 2, 3, 20, 10, 25, 15}


def test_one_of_equally_frequent_ones():
  assert _sub_words(np.repeat([30, 5], [7, 7]), 5) in [{0, 1, 2, 3, 5}, {0, 1, 2, 3, 30}]


def test_random_others_fill_up():
  client = tiny_language.of_tokens([1, 20, 20, 20, 20, 2, 0])
  drawn = [set(_keys('vocabulary', _TASK, client, _seed(round_number=n), vocabulary=8)) for n in range(1, 41)]
  for keys in drawn:
    assert len(keys) == 8
    assert {0, 1, 2, 3, 20} <= set(keys)
  # 3 of 27 others in each of 40 rounds: a sub-word is missed in all with probability (24 / 27)**40 = .009.
  assert len(set().union(*drawn)) > 25


def test_special_ones_are_there_however_frequent_others_are():
  assert _sub_words(np.full([70], 20), 4) == {0, 1, 2, 3}


def test_a_client_without_examples():
  found = _sub_words([], 6)
  assert len(found) == 6
  assert {0, 1, 2, 3} <= set(found)


def test_all_sub_words():
  assert _sub_words([1, 5, 5, 5, 5, 2, 0], 32) == set(range(32))


def test_keys_ascend():
  keys = _keys('vocabulary', _TASK, vocabulary=20)
  np.testing.assert_array_equal(keys, np.unique(keys))


@pytest.mark.parametrize('axis', _RANDOM_AXES)
def test_distinct_in_range_and_ascending(axis):
  count, total = _COUNTS[axis]
  for client_key in range(20):
    keys = _keys(axis, _LARGER, seed=_seed(client_key), **_RANDOM_AXES[axis])
    assert len(keys) == count
    np.testing.assert_array_equal(keys, np.unique(keys))
    assert 0 <= min(keys) <= total - 1
    assert 0 <= max(keys) <= total - 1


@pytest.mark.parametrize('axis', _RANDOM_AXES)
def test_random_keys_differ_between_clients_rounds_and_runs_and_repeat(axis):
  def drawn(**which):
    return tuple(_keys(axis, _LARGER, seed=_seed(**which), **_RANDOM_AXES[axis]))

  assert drawn() == drawn()
  for name in ('client_key', 'round_number', 'run'):
    assert len({drawn(**{name: value}) for value in range(5)}) > 2


@pytest.mark.parametrize('axis', _RANDOM_AXES)
def test_every_key_has_the_same_chance(axis):
  count, total = _COUNTS[axis]
  draws = [_keys(axis, _LARGER, seed=_seed(key), **_RANDOM_AXES[axis]) for key in range(200)]
  shares = np.bincount(np.concatenate(draws), minlength=total) / len(draws)
  # A standard error of sqrt(.25 / 200) = .035.
  np.testing.assert_allclose(shares, count / total, atol=0.15)


def test_axes_are_drawn_apart_and_each_as_if_alone():
  task = tiny_language.task(mlp_width=128, num_heads=8)  # 8 keys each.
  both = [
    selection_lib.Selection(neurons=0.5, heads=0.5).keys(task, tiny_language.client(1), _seed(k)) for k in range(5)
  ]
  assert any(tuple(each['neurons']) != tuple(each['heads']) for each in both)
  for key, each in enumerate(both):
    np.testing.assert_array_equal(each['heads'], _keys('heads', task, seed=_seed(key), heads=0.5))


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(), 'name what to select'),
    (dict(vocabulary=3), 'vocabulary must be a whole number of at least 4, not 3'),
    (dict(vocabulary=10.0), 'vocabulary must be a whole number'),
    (dict(vocabulary=True), 'vocabulary must be a whole number'),
    (dict(vocabulary='all'), 'vocabulary must be a whole number'),
    (dict(neurons=0.0), r'neurons must lie in \(0, 1\], not 0.0'),
    (dict(neurons=1.01), r'neurons must lie in \(0, 1\], not 1.01'),
    (dict(neurons=float('nan')), r'neurons must lie in \(0, 1\], not nan'),
    (dict(heads=-0.5), r'heads must lie in \(0, 1\]'),
    (dict(heads=True), r'heads must lie in \(0, 1\], not True'),
    (dict(heads='0.5'), r'heads must lie in \(0, 1\]'),
    (dict(blocks=0), 'blocks must be a whole number of at least 1, not 0'),
    (dict(blocks=True), 'blocks must be a whole number'),
    (dict(blocks=0.5), 'blocks must be a whole number'),
    (dict(blocks=1, neurons=0.5), 'blocks does not combine with neurons or heads'),
    (dict(blocks=1, heads=0.5), 'blocks does not combine with neurons or heads'),
  ],
)
def test_refuses_arguments(arguments, message):
  with pytest.raises(ValueError, match=message) as refusal:
    selection_lib.Selection(**arguments)
  assert '\n' not in str(refusal.value)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(vocabulary=33), 'vocabulary=33, but there are 32 sub-words: lower it'),
    (dict(blocks=2), 'blocks=2, but the model has 1: lower it'),
  ],
)
def test_refuses_more_than_there_are(arguments, message):
  with pytest.raises(ValueError, match=message) as refusal:
    selection_lib.Selection(**arguments).counts(_TASK.model)
  assert '\n' not in str(refusal.value)


@pytest.mark.parametrize('arguments', [dict(vocabulary=8), dict(neurons=0.5), dict(heads=0.5)], ids=str)
def test_refuses_a_model_without_the_axis(arguments):
  with pytest.raises(ValueError, match=f'the model has no {next(iter(arguments))}'):
    selection_lib.Selection(**arguments).counts(tiny_task.linear_task().model)


def test_refuses_a_model_that_needs_all_its_blocks():
  with pytest.raises(ValueError, match='blocks needs a model of residual blocks'):
    selection_lib.Selection(blocks=1).counts(lstm.lstm(num_layers=2)(32))


def test_refuses_a_model_without_blocks():
  variables = (model_lib.Variable('head/bias', (2,), model_lib.zeros),)
  head = model_lib.Model(variables, lambda weights, x, seed: x, skips_blocks=True)
  with pytest.raises(ValueError, match='the model has no blocks'):
    selection_lib.Selection(blocks=1).counts(head)


_SELECTIONS = dict(
  vocabulary=dict(vocabulary=8), neurons=dict(neurons=0.5), heads=dict(heads=0.5), blocks=dict(blocks=1)
)
_NOT_BESIDE_ADAPTERS = dict.fromkeys(('neurons', 'heads'), 'cannot be selected where adapters stand beside')
_REFUSED = {
  'head': {axis: f'would select {axis} of which they train none: leave out {axis}=' for axis in ('neurons', 'heads')},
  'lora': _NOT_BESIDE_ADAPTERS,
  'adapter': _NOT_BESIDE_ADAPTERS,
}


@pytest.mark.parametrize('axis', _SELECTIONS)
@pytest.mark.parametrize('name', catalog.POLICIES)
def test_clients_select_what_they_train(name, axis):
  arguments = dict(random=dict(fraction=0.9), suffix=dict(blocks=1), lora=dict(rank=2), adapter=dict(width=2))
  arguments |= dict(width=dict(fraction=0.5))
  devices = devices_lib.Devices((catalog.POLICIES[name](**arguments.get(name, {})),))
  selection, model = selection_lib.Selection(**_SELECTIONS[axis]), devices.adapt(_TASK.model)
  message = _REFUSED.get(name, {}).get(axis)
  with pytest.raises(ValueError, match=message) if message else contextlib.nullcontext():
    selection.check(model, devices)
