"""MimeLite: rounds equal plain NumPy and stock TFF, both uploads are counted, and the state is where it belongs."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import catalog
from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from experiments.command import codec_specs
from experiments.federated import checkpoints
from models import functional
from optimizers import algorithms
from optimizers import devices as devices_lib
from optimizers import local_batches
from optimizers import mime_lite
from optimizers import policies
from optimizers import selection
from optimizers import trainable
from tests import tiny_task
from tests.optimizers import plain_fed_avg

_TASK = tiny_task.linear_task()
_PLAIN = algorithms.Communication()
_TWO_EPOCHS = local_batches.LocalBatches(batch_size=100, num_epochs=2)  # Whole-client batches: no matter how shuffled.
_ADAGRAD = mime_lite.mime_lite(client_lr=0.2, server_lr=0.7, initial_accumulator=0.3, epsilon=0.01, clip_norm=0)
_MOMENTUM = mime_lite.mime_lite(base='momentum', client_lr=0.2, server_lr=0.7, momentum=0.8, clip_norm=0)


class _BiasByDraw(trainable.Policy):
  """Trains the bias alone, and says so when the graph runs."""

  def choose(self, model, seeds):
    return [tf.constant(False), tf.constant(True)]


def _clients():
  rng = np.random.default_rng(0)
  return [(rng.normal(size=[n, 2]), rng.normal(size=n)) for n in (5, 1, 8)]


def _datasets():
  return [tiny_task.client(x, y, client_key=k + 1) for k, (x, y) in enumerate(_clients())]


@functools.cache
def _process(algorithm=_ADAGRAD, communication=_PLAIN, policy=None, batches=_TWO_EPOCHS):
  devices = devices_lib.Devices((policy,)) if policy else devices_lib.ALIKE
  return algorithm(_TASK, communication, batches, 3, devices)


def _adagrad_step(value, slot, gradient):
  return value - 0.2 * gradient / np.sqrt(slot + gradient**2 + 0.01)


def _adagrad_slot(slot, gradient):
  return slot + gradient**2


def _momentum_step(value, slot, gradient):
  return value - 0.2 * (0.8 * slot + gradient)


def _momentum_slot(slot, gradient):
  return 0.8 * slot + gradient


def _round(values, slots, clients, step, slot):
  """One round in NumPy: two full-batch local steps by a fixed state, then the server's two steps."""
  total = sum(len(y) for _, y in clients)
  deltas, gradients = [0.0, 0.0], [0.0, 0.0]
  for x, y in clients:
    local, share = list(values), len(y) / total
    full = plain_fed_avg.gradient(*values, x, y)
    for _ in range(2):
      found = plain_fed_avg.gradient(*local, x, y)
      local = [step(*each) for each in zip(local, slots, found, strict=True)]
    deltas = [d + share * (v - u) for d, v, u in zip(deltas, values, local, strict=True)]
    gradients = [g + share * f for g, f in zip(gradients, full, strict=True)]
  values = [v - 0.7 * d for v, d in zip(values, deltas, strict=True)]
  return values, [slot(s, g) for s, g in zip(slots, gradients, strict=True)]


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('algorithm', 'name', 'initial', 'step', 'slot'),
  [
    pytest.param(_ADAGRAD, 'preconditioner', 0.3, _adagrad_step, _adagrad_slot, id='adagrad'),
    pytest.param(_MOMENTUM, 'accumulator', 0.0, _momentum_step, _momentum_slot, id='momentum'),
  ],
)
def test_two_rounds_equal_plain_numpy(algorithm, name, initial, step, slot):
  process = _process(algorithm)
  state = process.initialize()
  values = [np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable]
  slots = [np.full([2], initial), np.full([], initial)]
  for _ in range(2):
    state = process.next(state, _datasets()).state
    values, slots = _round(values, slots, _clients(), step, slot)
    for found, expected in zip(state.global_model_weights.trainable, values, strict=True):
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    for found, expected in zip(state.global_model_weights.non_trainable, slots, strict=True):
      assert list(found) == [name]
      np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures('worker')
def test_small_batches_equal_stock_tff():
  # The examples are all alike, so that it does not matter which are in a batch.
  clients = [tiny_task.client([[1.0, -2.0]] * 7, [0.5] * 7)]
  process = _process(batches=local_batches.LocalBatches(batch_size=3, num_epochs=1))
  stock = tff.learning.algorithms.build_weighted_mime_lite(
    functional.functional_model(_TASK, seed=3),
    base_optimizer=tff.learning.optimizers.build_adagrad(0.2, 0.3, 0.01),
    server_optimizer=tff.learning.optimizers.build_sgdm(0.7),
    client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
  )
  ours, theirs = process.initialize(), stock.initialize()
  for _ in range(2):
    ours = process.next(ours, clients).state
    theirs = stock.next(theirs, [d.batch(3).map(lambda batch: (batch, batch)) for d in clients]).state
  for one, two in zip(ours.global_model_weights.trainable, theirs.global_model_weights.trainable, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
  slots = [slot['preconditioner'] for slot in ours.global_model_weights.non_trainable]
  for one, two in zip(slots, theirs.client_work[0]['preconditioner'], strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures('worker')
def test_a_saved_state_goes_on_as_if_nothing_had_happened(tmp_path):
  process = _process()
  first = process.next(process.initialize(), _datasets()).state
  kept = checkpoints.Checkpoints(tmp_path)
  kept.save(first, 1)
  loaded, _ = kept.load_latest(process.initialize())
  tf.nest.map_structure(np.testing.assert_array_equal, loaded, first)
  on, again = (process.next(state, _datasets()).state for state in (first, loaded))
  tf.nest.map_structure(np.testing.assert_array_equal, on, again)
  assert len(tf.nest.flatten(on.global_model_weights)) == 4  # Two weights and a slot for each.


@pytest.mark.usefixtures('worker')
def test_a_client_whose_gradient_is_not_finite_is_dropped():
  process = _process()
  alone = process.next(process.initialize(), _datasets()).state.global_model_weights
  disturbed = process.next(process.initialize(), [*_datasets(), tiny_task.client([[np.inf, 0.0]], [1.0], 9)])
  assert disturbed.metrics['client_work']['dropped_updates'] == 1
  weights = disturbed.state.global_model_weights
  tf.nest.map_structure(
    lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-6),
    (weights.trainable, weights.non_trainable),
    (alone.trainable, alone.non_trainable),
  )


@pytest.mark.usefixtures('worker')
def test_updates_and_gradients_go_up_and_the_state_comes_down():
  process = _process()
  metrics = process.next(process.initialize(), _datasets()).metrics
  # 3 clients x (2 + 1 weights, and as many values of the state) x 4.
  assert metrics['distributor']['download_bytes'] == 72
  upload = metrics['aggregator']
  assert upload['upload_bytes_values'] == 72  # 3 clients x (3 of the update + 3 of the gradient) x 4.
  assert upload['upload_bytes_side'] == 3  # 3 clients x a bitmap of 4 flags.
  assert upload['upload_bytes_weights'] == 12
  assert upload['upload_bytes_per_client_max'] == 29
  assert metrics['client_work']['trained_parameters'] == 9


@pytest.mark.usefixtures('worker')
def test_both_go_through_the_codec():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]))
  process = _process(communication=algorithms.Communication(upload=codec))
  upload = process.next(process.initialize(), _datasets()).metrics['aggregator']
  assert upload['upload_bytes_values'] == 18  # 3 clients x 6 values x 1.
  assert upload['upload_bytes_side'] == 99  # 3 clients x (4 ranges x 8 + the bitmap).


@pytest.mark.usefixtures('worker')
def test_a_variable_that_is_never_trained_has_no_state_that_travels():
  process = _process(policy=policies.Head())
  state = process.initialize()
  output = process.next(state, _datasets())
  assert output.metrics['distributor']['download_bytes'] == 48  # 3 clients x (3 weights + 1 of state) x 4.
  assert output.metrics['aggregator']['upload_bytes_values'] == 24  # 3 clients x (1 + 1) x 4.
  assert output.state.global_model_weights.non_trainable[0] == ()
  np.testing.assert_array_equal(output.state.global_model_weights.trainable[0], state.global_model_weights.trainable[0])


@pytest.mark.usefixtures('worker')
def test_a_variable_that_turns_out_not_trained_keeps_its_state():
  process = _process(policy=_BiasByDraw())
  before = process.initialize()
  output = process.next(before, _datasets())
  assert output.metrics['aggregator']['upload_bytes_values'] == 24
  old, new = before.global_model_weights, output.state.global_model_weights
  np.testing.assert_array_equal(new.trainable[0], old.trainable[0])
  np.testing.assert_array_equal(new.non_trainable[0]['preconditioner'], old.non_trainable[0]['preconditioner'])
  total = sum(len(y) for _, y in _clients())
  gradient = sum(len(y) * plain_fed_avg.gradient(*old.trainable, x, y)[1] for x, y in _clients()) / total
  np.testing.assert_allclose(new.non_trainable[1]['preconditioner'], 0.3 + gradient**2, rtol=1e-5)


def test_refuses_select():
  communication = algorithms.Communication(selection=selection.Selection(neurons=0.5))
  with pytest.raises(ValueError, match='neither select nor width'):
    _ADAGRAD(tiny_task.two_layer_task(4), communication, _TWO_EPOCHS, 3)


def test_refuses_width():
  devices = devices_lib.Devices((policies.Width(fraction=0.5),))
  with pytest.raises(ValueError, match='neither select nor width'):
    _ADAGRAD(tiny_task.two_layer_task(4), _PLAIN, _TWO_EPOCHS, 3, devices)


@pytest.mark.parametrize('name', [*catalog.STAGES, *catalog.WRAPPED, *catalog.ADAPTIVE])
def test_refuses_what_gives_both_one_scale(name):
  chain = f'uniform|{name}' if name in ('elias_gamma', 'rans') else name
  chain = {'topk': 'topk(fraction=0.1)', 'randk': 'randk(fraction=0.1)'}.get(name, chain)
  uploads = {chain: name in catalog.ADAPTIVE}
  if name not in catalog.ADAPTIVE:
    uploads[f'concat|{chain}'] = True
    uploads[f'small_as(codec="float16", size=9)|{chain}'] = False
  for text, is_refused in uploads.items():
    communication = algorithms.Communication(upload=codec_specs.build(text))
    context = (
      pytest.raises(ValueError, match='leave out concat, and use another codec than rate_distortion')
      if is_refused
      else contextlib.nullcontext()
    )
    with context:
      _ADAGRAD.check(_TASK.model, communication, devices_lib.ALIKE)


@pytest.mark.parametrize('concatenate', [False, True])
def test_asks_a_codec_that_adapts_what_it_shares(concatenate):
  fixed = adaptive.Fixed(update_codec.UpdateCodec(concatenate=concatenate))
  assert fixed.shares_scale == concatenate
  assert 'shares_scale' in adaptive.AdaptiveCodec.__abstractmethods__


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(base='adam'), "base must be one of adagrad, momentum, not 'adam'"),
    (dict(base='momentum', momentum=0), 'momentum must be a positive number, not 0'),
    (dict(momentum=1), r'momentum must lie in \[0, 1\), not 1'),
    (dict(epsilon=0), 'epsilon must be a positive number, not 0'),
    (dict(initial_accumulator=-0.1), 'initial_accumulator must be 0 or a positive number, not -0.1'),
    (dict(client_lr=-1), 'client_lr must be a positive number, not -1'),
    (dict(server_schedule='cosine'), 'server_schedule must be a schedule'),
  ],
)
def test_refuses(arguments, message):
  with pytest.raises(ValueError, match=message):
    mime_lite.mime_lite(**arguments)
