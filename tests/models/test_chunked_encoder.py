"""An encoder that sees a few images at a time: the same loss and gradients as one that sees all, and less memory."""

import numpy as np
import pytest
import tensorflow as tf

from models import accounting
from models import chunked_encoder
from models import gradients
from models import self_supervised_task
from models import simclr
from models import vit
from optimizers import depth_dropout

_SHAPE = (8, 8, 1)
_ENCODER = vit.vit(width=8, mlp_width=16, num_layers=3, num_heads=2, patch_size=2)
_OBJECTIVE = simclr.simclr(width=6, outputs=4)
_PLAIN = self_supervised_task.build(_OBJECTIVE, _ENCODER, _SHAPE)
_SEED = tf.constant([1, 2], tf.int64)


def _chunked(chunk_size, encoder=_ENCODER):
  return self_supervised_task.build(_OBJECTIVE, chunked_encoder.ChunkedEncoder(encoder, chunk_size), _SHAPE)


def _weights():
  generator = np.random.default_rng(0)
  return tuple(tf.constant(generator.normal(size=each.shape), tf.float32) for each in _PLAIN.model.variables)


def _batch(batch_size):
  generator = np.random.default_rng(1)
  image = tf.constant(generator.integers(0, 256, [batch_size, *_SHAPE]), tf.int32)
  return dict(image=image, label=tf.zeros([batch_size], tf.int32), client_key=tf.zeros([batch_size], tf.int64))


def _trained(*blocks):
  return [not blocks or variable.block in (*blocks, 'head') for variable in _PLAIN.model.variables]


def _step(task, flags, batch, static):
  specs = {
    name: tf.TensorSpec([tensor.shape[0] if static else None, *tensor.shape[1:]], tensor.dtype)
    for name, tensor in batch.items()
  }
  run = tf.function(
    lambda weights, batch: gradients.gradients(task, weights, flags, batch, _SEED),
    autograph=False,
    input_signature=[tuple(tf.TensorSpec(each.shape) for each in task.model.variables), specs],
  )
  return run(_weights(), batch)


@pytest.mark.parametrize(
  ('blocks', 'chunk_size'),
  [((), 4), (('block_2',), 1), (('block_2',), 14), (('block_1', 'block_2'), 100), (('embedding', 'block_0'), 4)],
)
def test_finds_the_same_loss_and_gradients(blocks, chunk_size):
  flags, batch = _trained(*blocks), _batch(7)  # 14 views: chunks of 4, 4, 4 and 2.
  measures, found = _step(_chunked(chunk_size), flags, batch, static=chunk_size != 4)
  expected_measures, expected = _step(_PLAIN, flags, batch, static=True)
  for name, value in expected_measures.items():
    np.testing.assert_allclose(measures[name], value, rtol=1e-5)
  assert [each is None for each in found] == [not flag for flag in flags]
  for one, other in zip(found, expected, strict=True):
    if one is not None:
      np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
  assert max(np.abs(each).max() for each in expected if each is not None) > 0.01


def test_flags_that_are_drawn_find_the_same_gradients():
  flags, batch = [tf.constant(index % 2 == 0) for index in range(len(_PLAIN.model.variables))], _batch(3)
  _, found = gradients.gradients(_chunked(4), _weights(), flags, batch, _SEED)
  _, expected = gradients.gradients(_PLAIN, _weights(), flags, batch, _SEED)
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_leaves_out_the_same_blocks():
  kept = tf.constant([False, True])
  whole, chunked = (depth_dropout.partly(task, ['block_0', 'block_1'], kept) for task in (_PLAIN, _chunked(4)))
  flags, batch = _trained('block_2'), _batch(5)
  _, expected = _step(whole, flags, batch, static=True)
  _, found = _step(chunked, flags, batch, static=True)
  _, undropped = _step(_PLAIN, flags, batch, static=True)
  for one, other in zip(found, expected, strict=True):
    if one is not None:
      np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
  assert max(np.abs(a - b).max() for a, b in zip(found, undropped, strict=True) if a is not None) > 1e-3


def test_evaluates_as_one_that_sees_all():
  found, expected = (task.evaluate(_weights(), _batch(5)) for task in (_chunked(4), _PLAIN))
  np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)


def test_dropout_draws_again_what_it_drew():
  encoder = vit.vit(width=8, mlp_width=16, num_layers=3, num_heads=2, patch_size=2, dropout=0.3)
  task, weights, batch = _chunked(3, encoder), _weights(), _batch(2)
  index = [variable.name for variable in task.model.variables].index('block_2/mlp/down_bias')
  _, found = gradients.gradients(task, weights, [True] * len(weights), batch, _SEED)

  def loss(change):
    changed = [w + change if i == index else w for i, w in enumerate(weights)]
    measures = task.evaluate(changed, batch, _SEED)
    return float(measures['loss_sum'] / measures['weight_sum'])

  direction = np.ones(8, np.float32)
  slope = (loss(1e-2 * direction) - loss(-1e-2 * direction)) / 2e-2
  np.testing.assert_allclose(found[index].numpy() @ direction, slope, atol=2e-3, rtol=0.05)


@pytest.mark.parametrize('chunk_size', [0, -1, 1.5, True])
def test_refuses_no_number_of_images(chunk_size):
  with pytest.raises(ValueError, match='chunk_size'):
    chunked_encoder.ChunkedEncoder(_ENCODER, chunk_size)


def test_what_is_kept_for_the_backward_pass_hardly_grows_with_the_batch():
  kept = {}
  for batch_size in (8, 64):
    for name, task in (('plain', _PLAIN), ('chunked', _chunked(8))):
      graph = accounting.trace_step(task, _trained('block_2'), batch_size)
      kept[name, batch_size] = accounting.kept_bytes(graph)
  # Of the chunked one, the input of the trained block, 16 patches of 8 numbers for each view, is all of size.
  assert kept['chunked', 64] < 0.3 * kept['plain', 64]
  assert kept['plain', 64] > 6 * kept['plain', 8]
