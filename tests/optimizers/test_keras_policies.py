"""Every policy of the catalogue on a Keras model of a user's own: what it says is what moves, or it is refused."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from models import language_task
from optimizers import algorithms
from optimizers import catalog
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import selection
from tests import keras_language

_EMBEDDING = {'embedding/tokens/embeddings'}
_KERNELS = {'block_0/gru/gru_cell/kernel', 'block_0/gru/gru_cell/recurrent_kernel'}
_GRU = {*_KERNELS, 'block_0/gru/gru_cell/bias'}
_NORM = {'block_1/layer_normalization/scale', 'block_1/layer_normalization/bias'}
_HEAD = {'head/logits/kernel', 'head/logits/bias'}
_ALL = _EMBEDDING | _GRU | _NORM | _HEAD
_BIASES = {name for name in _ALL if name.endswith('bias')}
_LORA = {f'{name}_lora_{part}' for name in [*_KERNELS, 'head/logits/kernel'] for part in 'ab'}

# For each policy: its arguments and what moves, or why it is refused.
_POLICIES = {
  'all': [({}, _ALL)],
  'random': [(dict(fraction=0.5, resample='never'), None)],
  'frozen': [(dict(blocks=1), _ALL - _KERNELS), ({}, _BIASES)],
  'suffix': [
    (dict(blocks=1), _NORM | _HEAD),
    (dict(blocks=3), 'blocks=3, but the model has 2: lower it'),
  ],
  'bias': [({}, _BIASES)],
  'head': [({}, _HEAD)],
  'lora': [(dict(rank=2), _LORA | _HEAD)],
  'adapter': [
    (dict(width=2), 'no adapter can be put behind a kernel of a Keras model, which multiplies by itself: use lora')
  ],
  'width': [(dict(fraction=0.5), 'width needs a model whose variables name their units; this one has none')],
}
_CASES = [(name, *case) for name, cases in _POLICIES.items() for case in cases]


@pytest.fixture(scope='module', name='model')
def _model():
  return keras_language.model()


def _clients():
  tokens = np.random.default_rng(0).integers(1, 4, [3, 8, keras_language.LENGTH + 1], np.int32)
  return [
    tf.data.Dataset.from_tensor_slices(
      collections.OrderedDict(tokens=tokens[key], client_key=np.full([8], key, np.int64))
    )
    for key in range(3)
  ]


def test_the_table_is_that_of_the_catalogue():
  assert _POLICIES.keys() == catalog.POLICIES.keys()


@pytest.mark.usefixtures('optimizing_worker')
@pytest.mark.parametrize(('name', 'arguments', 'expected'), _CASES, ids=[f'{name} {args}' for name, args, _ in _CASES])
def test_two_rounds_move_what_the_policy_says(name, arguments, expected, model):
  devices = devices_lib.Devices((catalog.POLICIES[name](**arguments),))
  if isinstance(expected, str):
    with pytest.raises(ValueError, match=expected):
      _build(devices, model)
    return
  adapted, process = _build(devices, model)
  state = process.initialize()
  before = state.global_model_weights.trainable
  for value, variable, index in zip(before, adapted.variables, range(len(before)), strict=True):
    np.testing.assert_array_equal(value, adapted.initial_weight(index, 5), variable.name)
  losses = []
  for _ in range(2):
    output = process.next(state, _clients())
    state = output.state
    losses.append(output.metrics['client_work']['loss_sum'] / output.metrics['client_work']['weight_sum'])
  after = state.global_model_weights.trainable
  moved = {v.name for v, old, new in zip(adapted.variables, before, after, strict=True) if (old != new).any()}
  if expected is None:  # Drawn: what is additive always, and a part of the rest.
    assert _BIASES < moved < _ALL
  else:
    assert moved == expected
  assert losses[1] < losses[0] < 2 * np.log(keras_language.VOCABULARY)


@pytest.mark.parametrize(
  ('selected', 'said'),
  [
    (dict(vocabulary=6), 'the model has no vocabulary of which a client could hold a part'),
    (dict(neurons=0.5), 'the model has no neurons of which'),
    (dict(blocks=1), 'blocks needs a model of residual blocks'),
  ],
)
def test_a_part_of_its_weights_cannot_be_downloaded(selected, said, model):
  with pytest.raises(ValueError, match=said):
    selection.Selection(**selected).counts(model)


def _build(devices, model):
  adapted = devices.adapt(model)
  task = language_task.build(adapted, keras_language.LENGTH)
  algorithm, batches = fed_opt.fed_avg(client_lr=0.5), local_batches.LocalBatches(batch_size=4)
  return adapted, algorithm(task, algorithms.Communication(), batches, 5, devices)
