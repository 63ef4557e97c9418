"""Algorithms agree with plain NumPy and with stock TFF, and disturbing clients do not disturb them."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from models import functional
from models import language_task
from models import lstm
from models import transformer
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import tiny_language
from tests import tiny_task
from tests.optimizers import plain_fed_avg

pytestmark = pytest.mark.usefixtures('worker')

_TASK = tiny_task.linear_task()
_PLAIN = algorithms.Communication()


def _clients():
  rng = np.random.default_rng(0)
  return [(rng.normal(size=[n, 2]), rng.normal(size=n)) for n in (5, 1, 8)]


def _datasets(clients):
  return [tiny_task.client(x, y, client_key=k + 1) for k, (x, y) in enumerate(clients)]


def _initial(process):
  state = process.initialize()
  return state, *(np.asarray(w, np.float64) for w in state.global_model_weights.trainable)


@pytest.mark.parametrize(
  'clip_norm', [pytest.param(1e6, id='without_clipping'), pytest.param(0.05, id='with_clipping')]
)
def test_fed_avg_equals_plain_numpy(clip_norm):
  # Whole-client batches, so that shuffling does not matter; two epochs.
  batches = local_batches.LocalBatches(batch_size=100, num_epochs=2)
  process = fed_opt.fed_avg(client_lr=0.1, server_lr=0.7, clip_norm=clip_norm)(_TASK, _PLAIN, batches, 3)
  state, w, b = _initial(process)
  clients = _clients()
  for _ in range(3):
    state = process.next(state, _datasets(clients)).state
    dw, db = plain_fed_avg.mean_update(w, b, [[c, c] for c in clients], 0.1, clip_norm)
    w, b = w - 0.7 * dw, b - 0.7 * db
  np.testing.assert_allclose(state.global_model_weights.trainable[0], w, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(state.global_model_weights.trainable[1], b, rtol=1e-4, atol=1e-6)


def test_fed_adam_equals_plain_numpy():
  batches = local_batches.LocalBatches(batch_size=100)
  algorithm = fed_opt.fed_adam(client_lr=0.1, server_lr=0.05, beta_1=0.8, beta_2=0.9, epsilon=0.01, clip_norm=1e6)
  process = algorithm(_TASK, _PLAIN, batches, 3)
  state, w, b = _initial(process)
  adam_w, adam_b = (plain_fed_avg.Adam(0.05, 0.8, 0.9, 0.01) for _ in range(2))
  clients = _clients()
  for _ in range(3):
    state = process.next(state, _datasets(clients)).state
    dw, db = plain_fed_avg.mean_update(w, b, [[c] for c in clients], 0.1)
    w, b = adam_w(w, dw), adam_b(b, db)
  np.testing.assert_allclose(state.global_model_weights.trainable[0], w, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(state.global_model_weights.trainable[1], b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  'build',
  [
    pytest.param(lstm.lstm(width=8, num_cells=6), id='lstm'),
    pytest.param(transformer.transformer(width=8, mlp_width=16, num_layers=1, num_heads=2), id='transformer'),
  ],
)
def test_fed_avg_equals_stock_tff(build):
  task = language_task.build(build(20), sequence_length=6)
  rng = np.random.default_rng(1)
  examples = [
    collections.OrderedDict(tokens=rng.integers(0, 20, [n, 7]).astype(np.int32), client_key=np.full([n], n, np.int64))
    for n in (4, 7)
  ]
  ours = fed_opt.fed_avg(client_lr=0.5, server_lr=1.0, clip_norm=1e6)(
    task, _PLAIN, local_batches.LocalBatches(batch_size=10), 5
  )
  stock = tff.learning.algorithms.build_weighted_fed_avg(
    functional.functional_model(task, seed=5),
    client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.5),
    server_optimizer_fn=tff.learning.optimizers.build_sgdm(1.0),
    client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
  )
  our_state, stock_state = ours.initialize(), stock.initialize()
  for _ in range(2):
    ours_data = [tf.data.Dataset.from_tensor_slices(e) for e in examples]
    our_state = ours.next(our_state, ours_data).state
    stock_state = stock.next(stock_state, [d.batch(10).map(lambda b: (b, b)) for d in ours_data]).state
  for one, two in zip(
    our_state.global_model_weights.trainable, stock_state.global_model_weights.trainable, strict=True
  ):
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_quantized_upload_stays_near_full_precision():
  batches = local_batches.LocalBatches(batch_size=100)
  states = []
  for upload in (update_codec.UpdateCodec(), update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(16)]))):
    process = fed_opt.fed_avg(client_lr=0.1)(_TASK, algorithms.Communication(upload=upload), batches, 3)
    states.append(process.next(process.initialize(), _datasets(_clients())).state)
  exact, near = (state.global_model_weights.trainable[0] for state in states)
  np.testing.assert_allclose(near, exact, atol=1e-4)


@pytest.mark.parametrize(
  ('x', 'y', 'dropped'),
  [
    pytest.param(np.zeros([0, 2]), np.zeros([0]), 0, id='empty'),
    pytest.param([[np.inf, 0.0]], [1.0], 1, id='infinite'),
    pytest.param([[np.nan, 0.0]], [1.0], 1, id='not_a_number'),
    pytest.param([[3e38, 3e38]], [-3e38], 1, id='overflowing'),
  ],
)
def test_a_disturbing_client_changes_nothing(x, y, dropped):
  batches = local_batches.LocalBatches(batch_size=100)
  process = fed_opt.fed_avg(client_lr=0.1)(_TASK, _PLAIN, batches, 3)
  clients = _datasets(_clients())
  alone = process.next(process.initialize(), clients)
  disturbed = process.next(process.initialize(), [*clients, tiny_task.client(x, y, client_key=9)])
  for one, two in zip(
    alone.state.global_model_weights.trainable, disturbed.state.global_model_weights.trainable, strict=True
  ):
    np.testing.assert_allclose(one, two, rtol=1e-6)
  work = disturbed.metrics['client_work']
  assert work['dropped_updates'] == dropped
  assert work['num_clients'] == 4
  assert np.isfinite(work['loss_sum'])
  # Such a client sends its presence bits and its weight, and no values.
  extra = disturbed.metrics['aggregator']['upload_bytes'] - alone.metrics['aggregator']['upload_bytes']
  assert extra == 5


def test_same_seed_same_round():
  batches = local_batches.LocalBatches(batch_size=2, num_epochs=2)
  build = fed_opt.fed_avg(client_lr=0.1)

  def trained(seed):
    process = build(_TASK, _PLAIN, batches, seed)
    return process.next(process.initialize(), _datasets(_clients())).state.global_model_weights.trainable[0]

  np.testing.assert_array_equal(trained(1), trained(1))
  assert np.any(trained(1) != trained(2))


def test_clients_multiply_in_the_precision_of_the_algorithm():
  def trained(precision):
    algorithm = dataclasses.replace(fed_opt.fed_avg(client_lr=0.1), precision=precision)
    process = algorithm(tiny_language.task(), _PLAIN, local_batches.LocalBatches(batch_size=2), 0)
    return process.next(process.initialize(), [tiny_language.client(1)]).state.global_model_weights.trainable

  for exact, rounded in zip(trained('float32'), trained('bfloat16'), strict=True):
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.01)
  assert np.any(rounded != exact)


@pytest.mark.parametrize(
  'arguments',
  [
    dict(client_lr=0.0),
    dict(client_lr=-1.0),
    dict(client_lr=float('nan')),
    dict(server_lr=float('inf')),
    dict(clip_norm=-1),
    dict(client_lr='0.1'),
    dict(client_lr=True),
  ],
  ids=str,
)
def test_refuses(arguments):
  with pytest.raises(ValueError, match=r'must be (0 or )?a positive number'):
    fed_opt.fed_adam(**arguments)
  with pytest.raises(ValueError, match=r'beta_1 must lie in \[0, 1\)'):
    fed_opt.fed_adam(beta_1=1.0)
