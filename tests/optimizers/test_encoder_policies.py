"""Every policy of what a client trains applies to the encoders, the one of a single shared block included."""

import numpy as np
import pytest
import tensorflow as tf

from models import catalog
from models import classification_task
from models import gradients as gradients_lib
from optimizers import policies
from optimizers import randomness
from optimizers import trainable
from optimizers import unit_keys

_TINY = dict(width=8, mlp_width=16, num_layers=2, num_heads=2, max_length=6)
_POOLER = {'head/pooler_kernel', 'head/pooler_bias', 'head/classifier_kernel', 'head/classifier_bias'}


@pytest.fixture(params=catalog.ENCODERS)
def family(request):
  return request.param


def _model(family):
  return catalog.ENCODERS[family](**_TINY).classifier(60, 3)


def _chosen(policy, model):
  seed = tf.constant([3, 4], tf.int64)
  key = randomness.client_seed(seed, tf.constant(1, tf.int64), randomness.Purpose.TRAINABLE)
  return policy.choose(model, trainable.Seeds(0, seed, key))


def _trained(policy, model):
  """Names of the variables that a step of this policy has gradients of, none of which is empty or zero."""
  task = classification_task.build(model, 6)
  tokens = np.random.default_rng(0).integers(1, 60, [5, 6])
  batch = dict(tokens=tf.constant(tokens, tf.int32), label=tf.constant([0, 1, 2, 0, 1]))
  rng = np.random.default_rng(2)
  means = [1.0 if variable.name.endswith('scale') else 0.0 for variable in model.variables]
  weights = tuple(
    tf.constant(rng.normal(mean, 0.4, variable.shape), tf.float32)
    for mean, variable in zip(means, model.variables, strict=True)
  )
  chosen = _chosen(policy, model)
  _, gradients = gradients_lib.gradients(task, weights, chosen, batch, tf.constant([1, 2], tf.int64))
  names = set()
  for variable, flag, gradient in zip(model.variables, chosen, gradients, strict=True):
    if bool(flag):
      assert gradient.shape == variable.shape and np.any(gradient), variable.name
      names.add(variable.name)
    else:
      assert gradient is None or gradient.shape == (0,), variable.name
  return names


def test_random_trains_biases_and_a_part_of_the_others(family):
  model = _model(family)
  names = _trained(policies.Random(fraction=0.6), model)
  everything = {variable.name for variable in model.variables}
  assert {name for name in everything if name.endswith('bias')} <= names
  assert {name for name in names if not name.endswith('bias')}
  assert everything - names


def test_suffix_trains_the_last_block_and_the_head(family):
  blocks = {name.split('/')[0] for name in _trained(policies.Suffix(blocks=1), _model(family))}
  assert blocks == {'block_0' if family == 'albert' else 'block_1', 'head'}


def test_head_trains_pooler_and_classifier(family):
  assert _trained(policies.Head(), _model(family)) == _POOLER


def test_bias_trains_every_additive_variable(family):
  model = _model(family)
  additive = {variable.name for variable in model.variables if variable.name.endswith('bias')}
  assert _trained(policies.Bias(), model) == additive


@pytest.mark.parametrize(
  ('policy', 'endings'),
  [(policies.Lora(rank=2), ('_lora_a', '_lora_b')), (policies.Adapter(width=8), ('_adapter_down', '_adapter_up'))],
)
def test_additions_and_the_head_are_trained(policy, endings, family):
  names = _trained(policy, policy.adapt(_model(family)))
  assert names >= _POOLER
  for block in ('block_0',) if family == 'albert' else ('block_0', 'block_1'):
    assert names >= {f'{block}/mlp/down_kernel{ending}' for ending in endings}
  assert all(name in _POOLER or name.endswith(endings) for name in names)


def test_width_finds_heads_and_neurons(family):
  model = _model(family)
  assert policies.Width(fraction=0.5).units(model) == dict(heads=1, neurons=16)
  assert unit_keys.num_units(model, 'vocabulary') == 60
