"""BYOL measures what the paper says, of two views and two networks, and lets no gradient through its target."""

import collections
import dataclasses
import math
import re

import numpy as np
import pytest
import tensorflow as tf

from models import accounting
from models import augmentation
from models import byol
from models import catalog
from models import functional
from models import gradients as gradients_lib
from models import image_task
from models import layers
from models import self_supervised_task

_SHAPE = (2, 2, 1)
_SEED = tf.constant([3, 4], tf.int64)
_BATCH = 5


@dataclasses.dataclass(frozen=True)
class _Encoder:
  """Features that are a product of the pixels."""

  feature_width: int = 4

  def variables(self, image_shape):
    return layers.projection_variables('embedding/patch', math.prod(image_shape), self.feature_width)

  def features(self, weights, views, seed):
    del seed
    return layers.projection(weights, 'embedding/patch', tf.reshape(views, [-1, math.prod(_SHAPE)]))


def _task(momentum=0.9):
  return self_supervised_task.build(byol.byol(momentum, width=6, outputs=3), _Encoder(), _SHAPE)


def _weights(task, seed):
  rng = np.random.default_rng(seed)
  return tuple(tf.constant(rng.normal(0.0, 0.5, variable.shape), tf.float32) for variable in task.model.variables)


def _batch():
  images = np.random.default_rng(8).integers(0, 256, [_BATCH, *_SHAPE])
  return dict(image=tf.constant(images, tf.int32), label=tf.zeros([_BATCH], tf.int32))


def _product(w, name, x):
  return x @ w[f'{name}_kernel'] + w[f'{name}_bias']


def _standardized(x):
  return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def _plain_layer(w, name, x):
  return _product(w, f'{name}_output', np.maximum(_standardized(_product(w, f'{name}_hidden', x)), 0.0))


def _plain_outputs(task, weights, views):
  """Float64 projections and predictions, [2][batch][outputs] each."""
  w = {name: weight.numpy().astype(np.float64) for name, weight in task.model.by_name(weights).items()}
  h = _product(w, 'embedding/patch', np.concatenate(views).reshape([2 * _BATCH, -1]))
  h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-6)
  z = _plain_layer(w, 'head/projection', h * w['head/norm_scale'] + w['head/norm_bias'])
  return np.split(z, 2), np.split(_plain_layer(w, 'head/prediction', z), 2)


def _cosine(a, b):
  return sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))


def test_scores_by_hand():
  # First view of one image: (3, 4) and the target (8, 6) of the second: 2 - 2 * 48 / 50 = .08; second view: (0, 2)
  # and the target (-5, 0) of the first: 2 - 0 = 2. Sum 2.08. The other image: opposite, 4, and the same direction, 0.
  own = (tf.constant([[3.0, 4.0], [1.0, 1.0]]), tf.constant([[0.0, 2.0], [1.0, -1.0]]))
  aims = (tf.constant([[-5.0, 0.0], [2.0, -2.0]]), tf.constant([[8.0, 6.0], [-3.0, -3.0]]))
  nothing = (tf.fill([2, 2], math.nan),) * 2
  losses, correct = byol.byol().scores(((*own, *nothing), (*nothing, *aims)))
  np.testing.assert_allclose(losses, [2.08, 4.0], rtol=1e-6, atol=1e-6)
  # (3, 4) is nearer to (8, 6) than to (-3, -3); (0, 2) is no nearer to (-5, 0), at 0, than to (2, -2), at -.71: it is.
  # (1, 1) is nearer to (8, 6) than to its own; (1, -1) is at its own.
  np.testing.assert_array_equal(correct, [1.0, 0.5])


@pytest.mark.parametrize('has_target', [pytest.param(True, id='target'), pytest.param(False, id='no_target')])
def test_measures_equals_the_sum_over_images(has_target):
  task, batch = _task(), _batch()
  weights, target = _weights(task, 1), _weights(task, 2) if has_target else None
  views = augmentation.two_views(image_task.scaled(batch['image']), _SEED, augmentation.Augmentation())
  _, p = _plain_outputs(task, weights, views)
  z, _ = _plain_outputs(task, target if has_target else weights, views)
  loss, correct = 0.0, 0.0
  for view in (0, 1):
    for i in range(_BATCH):
      cosines = [_cosine(p[view][i], z[1 - view][k]) for k in range(_BATCH)]
      loss += 2 - 2 * cosines[i]
      correct += (int(np.argmax(cosines)) == i) / 2
  found = tf.function(task.evaluate, autograph=False)(weights, batch, _SEED, target)
  np.testing.assert_allclose(list(found.values()), [loss, correct, _BATCH], rtol=1e-4, atol=1e-6)


def test_no_gradient_flows_through_it():
  task, batch = _task(), _batch()
  weights, target = _weights(task, 1), _weights(task, 2)
  with tf.GradientTape() as tape:
    tape.watch([weights, target])
    loss = task.evaluate(weights, batch, _SEED, target)['loss_sum'] / _BATCH
  expected, of_target = tape.gradient(loss, [weights, target])
  assert of_target == (None,) * len(target)
  _, found = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED, target)
  for one, two in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
  # As if the target were a constant, even where it is the model itself.
  _, itself = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED)
  _, copied = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED, weights)
  for one, two, other in zip(itself, copied, found, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
    assert np.abs(one).max() < 1e-5 or not np.allclose(one, other)


@pytest.mark.parametrize('trains_encoder', [True, False])
def test_costs_a_forward_pass_and_no_memory(trains_encoder):
  task = _task()
  trained = [trains_encoder or variable.block == 'head' for variable in task.model.variables]
  shapes = tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables)
  batch = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in _batch().items()}

  def traced(target):
    def step(weights, batch, target):
      return gradients_lib.gradients(task, weights, trained, batch, _SEED, target)

    return tf.function(step, autograph=False).get_concrete_function(shapes, batch, target).graph

  def num_products(graph):
    return collections.Counter(operation.type for operation in graph.get_operations())['MatMul']

  without, with_target = traced(None), traced(shapes)
  # The encoder, and two for each hidden layer: those of the prediction lead nowhere, and do not run.
  assert num_products(with_target) - num_products(without) == 5
  assert accounting.kept_bytes(with_target) == accounting.kept_bytes(without)


def test_other_objectives_have_none():
  for name, has_target in (('byol', True), ('simclr', False), ('simsiam', False)):
    task = self_supervised_task.build(catalog.OBJECTIVES[name](), _Encoder(), _SHAPE)
    assert (task.target_momentum is not None) == has_target


def test_stock_tff_is_refused():
  with pytest.raises(ValueError, match='a task with a target'):
    functional.functional_model(_task(), seed=1)


def test_variables_are_those_of_the_encoder_and_a_head():
  kinds = [f'{layer}_{kind}' for layer in ('hidden', 'output') for kind in ('kernel', 'bias')]
  head = ['norm_scale', 'norm_bias', *(f'{part}_{kind}' for part in ('projection', 'prediction') for kind in kinds)]
  model = _task().model
  assert [v.name for v in model.variables[2:]] == [f'head/{name}' for name in head]
  # Encoder 4 * 4 + 4 = 20, norm 8, projection 4 * 6 + 6 + 6 * 3 + 3 = 51, prediction 3 * 6 + 6 + 6 * 3 + 3 = 45.
  assert model.num_parameters == 124


def test_momentum_arrives():
  assert _task(momentum=0).target_momentum == 0
  assert _task(momentum=0.5).target_momentum == 0.5


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(momentum=1.0), 'momentum must lie in [0, 1), not 1.0'),
    (dict(momentum=-0.1), 'momentum must lie in [0, 1), not -0.1'),
    (dict(momentum=math.nan), 'momentum must lie in [0, 1), not nan'),
    (dict(momentum=False), 'momentum must lie in [0, 1), not False'),
    (dict(momentum='slow'), "momentum must lie in [0, 1), not 'slow'"),
    (dict(width=0), 'width must be a whole number from 1 to 1,000,000, not 0'),
    (dict(outputs=1.5), 'outputs must be a whole number from 1 to 1,000,000, not 1.5'),
    (dict(min_area=0), 'min_area must lie in (0, 1], not 0'),
  ],
)
def test_refuses_what_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    byol.byol(**arguments)
