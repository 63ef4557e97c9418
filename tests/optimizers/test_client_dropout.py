"""Clients that vanish after the download: who they are, what they cost, and that nothing else is left of them."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import rate_distortion
from compression import update_codec
from compression.stages import uniform
from experiments.results import metrics as metrics_lib
from optimizers import algorithms
from optimizers import catalog
from optimizers import client_dropout
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import local_training
from optimizers import mime_lite
from optimizers import policies
from optimizers import selection as selection_lib
from tests import tiny_task
from tests.optimizers import plain_fed_avg

_SEED = 3
_TASK = tiny_task.linear_task()
_HALF = client_dropout.bernoulli(rate=0.5)
_PLAIN = algorithms.Communication()
_WHOLE = local_batches.LocalBatches(batch_size=1000)  # Whole-client batches, so that shuffling does not matter.
_KEYS = tuple(range(1, 9))


def _round_seed(round_number):
  return tf.random.experimental.stateless_fold_in(
    tf.constant([_SEED, 0], tf.int64), tf.constant(round_number, tf.int64)
  )


def _vanishes(client_key, round_number=1, dropout=_HALF):
  return bool(dropout.vanishes(_round_seed(round_number), tf.constant(client_key, tf.int64)))


def _remaining(round_number=1, keys=_KEYS):
  return [key for key in keys if not _vanishes(key, round_number)]


def _examples(client_key):
  """Twice as many as those of the client before, so that the number of all examples says which clients trained."""
  rng = np.random.default_rng(client_key)
  return rng.normal(size=[2**client_key, 2]), rng.normal(size=2**client_key)


def _datasets(keys=_KEYS):
  return [tiny_task.client(*_examples(key), client_key=key) for key in keys]


@functools.cache
def _process(algorithm, dropout=_HALF, communication=_PLAIN, batches=_WHOLE):
  return algorithm(_TASK, communication, batches, _SEED, client_dropout=dropout)


_FED_AVG = fed_opt.fed_avg(client_lr=0.1, server_lr=0.7, clip_norm=1e6)
_FED_ADAM = fed_opt.fed_adam(client_lr=0.1, server_lr=0.05)


def test_draw_is_as_frequent_as_its_rate():
  keys, rate = tf.range(4000, dtype=tf.int64) * 7919, 0.3
  vanishes = functools.partial(client_dropout.bernoulli(rate).vanishes, _round_seed(1))
  drawn = tf.function(lambda: tf.map_fn(vanishes, keys, fn_output_signature=tf.bool), autograph=False)()
  assert abs(np.mean(drawn) - rate) < 4 * math.sqrt(rate * (1 - rate) / 4000)


def test_draw_is_drawn_anew_each_round_and_for_each_client():
  assert len(_remaining(1)) not in (0, len(_KEYS))
  assert _remaining(1) != _remaining(2)


def test_nobody_vanishes_by_default():
  assert catalog.CLIENT_DROPOUTS['none']() == catalog.CLIENT_DROPOUTS['bernoulli'](rate=0)
  assert not any(_vanishes(key, dropout=client_dropout.none()) for key in range(100))


@pytest.mark.parametrize('rate', [-0.1, 1, 1.0, 2, float('nan'), True, '0.1', None])
def test_draw_refuses(rate):
  with pytest.raises(ValueError, match=r'rate must lie in \[0, 1\), not '):
    client_dropout.bernoulli(rate)


@pytest.mark.parametrize(
  'algorithm', [pytest.param(_FED_AVG, id='fed_avg'), pytest.param(mime_lite.mime_lite(), id='mime_lite')]
)
def test_a_client_reads_each_example_once_and_trains_on_none_if_it_vanished(algorithm):
  read = []

  def note(example):
    with tf.control_dependencies([tf.py_function(lambda: read.append(1), [], [])]):
      return tf.nest.map_structure(tf.identity, example)

  local = local_training.LocalTraining(_TASK, algorithm.client_optimizer, _WHOLE, seed=_SEED, client_dropout=_HALF)
  train = tf.function(local.__call__, autograph=False)
  weights = _TASK.model.initial_weights(0)
  slots = (
    tuple(dict(preconditioner=tf.ones_like(weight)) for weight in weights)
    if algorithm.client_optimizer.is_shared
    else ()
  )
  received = local_training.Received(weights, _round_seed(1), tf.constant(1, tf.int64), {}, slots)
  for key in _KEYS[:4]:
    read.clear()
    result = train(received, tiny_task.client(*_examples(key), key).map(note))
    assert bool(result.answers) == (not _vanishes(key))
    assert len(read) == 2**key
    assert int(result.measures['num_examples']) == (0 if _vanishes(key) else 2**key)


@pytest.mark.usefixtures('worker')
def test_rounds_are_those_of_the_remaining_clients():
  process = _process(_FED_AVG)
  state = process.initialize()
  w, b = (np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable)
  for round_number in (1, 2, 3):
    remaining = _remaining(round_number)
    state, metrics = process.next(state, _datasets())
    dw, db = plain_fed_avg.mean_update(w, b, [[_examples(key)] for key in remaining], 0.1)
    residuals = [x @ w + b - y for x, y in map(_examples, remaining)]
    w, b = w - 0.7 * dw, b - 0.7 * db
    np.testing.assert_allclose(state.global_model_weights.trainable[0], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.global_model_weights.trainable[1], b, rtol=1e-4, atol=1e-6)
    # 3 floats each way; up also a bit for each of 2 variables in a byte, and the weight.
    assert metrics['distributor']['download_bytes'] == 8 * 12
    upload = metrics['aggregator']
    assert upload['upload_bytes'] == len(remaining) * 17
    assert upload['upload_bytes_values'] == len(remaining) * 12
    assert upload['upload_bytes_side'] == len(remaining)
    assert upload['upload_bytes_weights'] == len(remaining) * 4
    assert upload['upload_bytes_per_client_max'] == 17
    work = metrics['client_work']
    assert work['num_clients'] == 8
    assert work['num_examples'] == sum(2**key for key in remaining)
    assert work['dropped_updates'] == 0
    assert work['trained_parameters'] == len(remaining) * 3
    np.testing.assert_allclose(work['loss_sum'], sum(0.5 * np.sum(each**2) for each in residuals), rtol=1e-4)
    columns = metrics_lib.training_columns(metrics, num_parameters=3)
    assert columns['trained_fraction'] == len(remaining) / 8


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'keys',
  [
    pytest.param(_KEYS[::-1], id='in_reverse'),
    pytest.param(_KEYS[::2], id='without_some'),
    pytest.param(_KEYS * 2, id='twice'),
  ],
)
def test_who_vanishes_does_not_depend_on_the_others(keys):
  process = _process(_FED_AVG)
  metrics = process.next(process.initialize(), _datasets(keys)).metrics
  assert metrics['client_work']['num_examples'] == sum(2**key for key in _remaining(keys=keys))


@pytest.mark.usefixtures('worker')
def test_a_rate_at_which_nobody_vanishes_changes_no_bit():
  batches = local_batches.LocalBatches(batch_size=3, num_epochs=2)
  communication = algorithms.Communication(update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(4)])))
  plain, *results = (
    _two_rounds(_FED_ADAM(_TASK, communication, batches, _SEED, **arguments))
    for arguments in ({}, *(dict(client_dropout=client_dropout.bernoulli(rate)) for rate in (0.0, 1e-9)))
  )
  for result in results:
    tf.nest.map_structure(np.testing.assert_array_equal, result, plain)


def _two_rounds(process):
  state = process.initialize()
  for _ in range(2):
    state, metrics = process.next(state, _datasets(_KEYS[:3]))
  return state, metrics


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('algorithm', 'communication'),
  [
    pytest.param(
      _FED_ADAM, algorithms.Communication(rate_distortion.RateDistortion(), measure_distortion=True), id='fed_adam'
    ),
    pytest.param(mime_lite.mime_lite(base='momentum'), _PLAIN, id='mime_lite'),
  ],
)
def test_a_round_in_which_everyone_vanished_changes_nothing(algorithm, communication):
  process = _process(algorithm, communication=communication)
  before = process.next(process.initialize(), _datasets(_remaining(1))).state  # From here on there is momentum.
  gone = sorted(set(_KEYS).difference(_remaining(2)))
  after, metrics = process.next(before, _datasets(gone))
  for name in ('global_model_weights', 'aggregator', 'finalizer'):
    tf.nest.map_structure(np.testing.assert_array_equal, getattr(before, name), getattr(after, name))
  columns = metrics_lib.training_columns(metrics, num_parameters=3)
  assert (columns['num_clients'], columns['num_examples']) == (len(gone), 0)
  assert (columns['upload_bytes'], columns['upload_bytes_per_client_max']) == (0, 0)
  assert columns['download_bytes'] > 0
  assert (columns['train/loss'], columns['trained_fraction']) == (None, 0.0)


@pytest.mark.usefixtures('worker')
def test_a_client_that_vanished_cannot_spoil_a_round():
  (gone, *_) = sorted(set(_KEYS).difference(_remaining()))
  process = _process(_FED_AVG)
  metrics = process.next(process.initialize(), [tiny_task.client([[np.inf, 0.0]], [1.0], gone)]).metrics
  assert metrics['client_work']['dropped_updates'] == 0
  assert metrics['client_work']['num_examples'] == 0


def _partial_process(num_neurons, devices=devices_lib.ALIKE, **selected):
  algorithm, task = fed_opt.fed_avg(client_lr=0.01), tiny_task.two_layer_task(num_neurons)
  communication = algorithms.Communication(selection=selection_lib.Selection(**selected) if selected else None)
  return algorithm(task, communication, _WHOLE, _SEED, devices, _HALF)


def _rounds(process):
  """Returns the metrics of a round with all clients and of one with the remaining ones, which train the same."""
  state = process.initialize()
  everyone, rest = (process.next(state, _datasets(keys)) for keys in (_KEYS, _remaining()))
  before, *after = (each.global_model_weights for each in (state, everyone.state, rest.state))
  tf.nest.map_structure(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *after)
  assert not np.array_equal(before.trainable[0], after[0].trainable[0])
  everyone, rest = everyone.metrics, rest.metrics
  assert everyone['client_work'].pop('num_clients') == 8
  assert rest['client_work'].pop('num_clients') == len(_remaining())
  tf.nest.map_structure(
    functools.partial(np.testing.assert_allclose, rtol=1e-5), *(each['client_work'] for each in (everyone, rest))
  )
  return everyone, rest


@pytest.mark.usefixtures('worker')
def test_select_counts_slices_and_keys_of_clients_that_vanished():
  everyone, rest = _rounds(_partial_process(6, neurons=0.5))
  num_rest = len(_remaining())
  # 3 of 6 neurons of 2 + 1 values each, and the bias.
  assert everyone['distributor']['download_bytes'] == 8 * 4 * 10
  assert everyone['aggregator']['upload_bytes_values'] == num_rest * 4 * 10
  # 3 of 6 keys, a bit for each of these in 1 byte; of who answers also 3 presence bits in 1 byte, and the weight.
  assert everyone['aggregator']['upload_bytes_side'] == 8 + num_rest
  assert everyone['aggregator']['upload_bytes_weights'] == num_rest * 4
  assert rest['aggregator']['upload_bytes_side'] == num_rest * 2


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'devices',
  [
    pytest.param(devices_lib.Devices((policies.Random(fraction=0.5),)), id='random'),
    pytest.param(devices_lib.Devices((policies.Random(fraction=0.5, denominator='all'),)), id='random_over_all'),
    pytest.param(devices_lib.Devices((policies.Head(), policies.All()), (0.5, 0.5)), id='tiers'),
    pytest.param(
      devices_lib.Devices((policies.Width(fraction=0.25), policies.All()), (0.5, 0.5)), id='tiers_of_sub_models'
    ),
  ],
)
def test_combines_with_parts(devices):
  everyone, rest = _rounds(_partial_process(64, devices))
  assert everyone['aggregator'] == rest['aggregator']
  assert everyone['distributor']['download_bytes'] > rest['distributor']['download_bytes']


@pytest.mark.usefixtures('worker')
def test_combines_with_mime_lite():
  everyone, rest = _rounds(_process(mime_lite.mime_lite(client_lr=0.2)))
  assert everyone['aggregator'] == rest['aggregator']
  assert everyone['distributor']['download_bytes'] == 8 * 24  # 3 weights and as many values of the state.
