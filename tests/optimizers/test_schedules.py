"""Schedules: factors typed by hand, at the clients and at the server, and as text within `--algorithm`."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import algorithm_specs
from experiments.command import spec
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import finalizer
from optimizers import local_batches
from optimizers import schedules
from tests import tiny_task
from tests.optimizers import plain_fed_avg

_TASK = tiny_task.linear_task()
_WHOLE = local_batches.LocalBatches(batch_size=100)


def _clients():
  rng = np.random.default_rng(0)
  return [(rng.normal(size=[n, 2]), rng.normal(size=n)) for n in (5, 3)]


def _datasets():
  return [tiny_task.client(x, y, client_key=k + 1) for k, (x, y) in enumerate(_clients())]


@pytest.mark.parametrize(
  ('schedule', 'expected'),
  [
    pytest.param(schedules.constant(), [1, 1, 1], id='constant'),
    pytest.param(schedules.linear(rounds=4), [1, 0.75, 0.5, 0.25, 0, 0], id='linear'),
    pytest.param(schedules.linear(rounds=6, warmup=2), [0.5, 1, 1, 0.75, 0.5, 0.25, 0, 0], id='linear_with_warmup'),
    pytest.param(schedules.linear(rounds=2, final=0.5), [1, 0.75, 0.5, 0.5], id='linear_to_a_half'),
    pytest.param(schedules.linear(rounds=1), [1, 0], id='linear_of_one_round'),
    # cos(pi / 4) = 0.70711
    pytest.param(schedules.cosine(rounds=4), [1, 0.853553, 0.5, 0.146447, 0, 0], id='cosine'),
    pytest.param(
      schedules.cosine(rounds=6, warmup=4, final=0.2), [0.25, 0.5, 0.75, 1, 1, 0.6, 0.2, 0.2], id='cosine_with_all'
    ),
    # 0.5 ** 0.5 = 0.70711
    pytest.param(schedules.exponential(decay=0.5, rounds=2), [1, 0.707107, 0.5, 0.353553, 0.25], id='exponential'),
    pytest.param(schedules.exponential(decay=0.1, rounds=2, staircase=True), [1, 1, 0.1, 0.1, 0.01], id='staircase'),
    pytest.param(schedules.inverse_sqrt(warmup=2), [0.5, 1, 0.816497, 0.707107], id='inverse_sqrt'),
  ],
)
def test_factor_goldens(schedule, expected):
  found = [schedule.factor(tf.constant(r, tf.float32)).numpy() for r in range(1, len(expected) + 1)]
  np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
  ('build', 'arguments', 'message'),
  [
    (schedules.linear, dict(rounds=0), 'rounds must be a whole number of at least 1, not 0'),
    (schedules.cosine, dict(rounds=2.5), 'rounds must be a whole number of at least 1, not 2.5'),
    (schedules.cosine, dict(rounds=5, warmup=5), 'warmup must be less than rounds=5, not 5'),
    (schedules.cosine, dict(rounds=5, warmup=-1), 'warmup must be a whole number of at least 0, not -1'),
    (schedules.cosine, dict(rounds=5, final=1.5), r'final must lie in \[0, 1\], not 1.5'),
    (schedules.exponential, dict(decay=0, rounds=5), r'decay must lie in \(0, 1\], not 0'),
    (schedules.exponential, dict(decay=2, rounds=5), r'decay must lie in \(0, 1\], not 2'),
    (schedules.exponential, dict(decay=0.5, rounds=5, staircase=1), 'staircase must be True or False, not 1'),
    (schedules.inverse_sqrt, dict(warmup=0), 'warmup must be a whole number of at least 1, not 0'),
  ],
)
def test_factor_refuses(build, arguments, message):
  with pytest.raises(ValueError, match=message):
    build(**arguments)


def test_schedules_are_specs_within_the_spec():
  algorithm = algorithm_specs.build(
    'fed_adam(client_schedule="exponential(decay=0.5, rounds=1)", server_schedule="linear(rounds=4)")'
  )
  assert algorithm.client_optimizer.schedule.factor(tf.constant(3.0)).numpy() == pytest.approx(0.25, abs=5e-8)
  assert algorithm.server_schedule.factor(tf.constant(3.0)).numpy() == pytest.approx(0.5, abs=5e-8)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('fed_adam(client_schedule="cosine(rounds=0)")', 'rounds must be a whole number of at least 1, not 0'),
    ('fed_adam(client_schedule="cosin(rounds=1)")', "did you mean 'cosine'?"),
    ('fed_adam(client_schedule="cosine")', r'cosine needs rounds=\.\.\.'),
    ('fed_adam(client_schedule=3)', 'client_schedule must be a schedule such as cosine'),
    ('fed_adam(schedule="cosine(rounds=3)")', "no argument 'schedule'"),
    ('fed_prox(mu=-1)', 'mu must be 0 or a positive number, not -1'),
    ('mime_lite(base="adam")', "base must be one of adagrad, momentum, not 'adam'"),
    ('fed_avg|fed_adam', 'does not apply here'),
    ('fed_avgn', "did you mean 'fed_avg"),
  ],
)
def test_spec_refuses_in_one_line(text, message):
  with pytest.raises(spec.SpecError, match=message) as caught:
    algorithm_specs.build(text)
  assert '\n' not in str(caught.value)


@pytest.mark.usefixtures('worker')
def test_factors_of_both_sides_equal_plain_numpy():
  algorithm = fed_opt.fed_avg(
    client_lr=0.4,
    server_lr=0.5,
    clip_norm=0,
    client_schedule=schedules.linear(rounds=4),
    server_schedule=schedules.exponential(decay=0.1, rounds=1),
  )
  process = algorithm(_TASK, algorithms.Communication(), _WHOLE, 3)
  state = process.initialize()
  w, b = (np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable)
  for client_factor, server_factor in ((1.0, 1.0), (0.75, 0.1), (0.5, 0.01)):
    state = process.next(state, _datasets()).state
    dw, db = plain_fed_avg.mean_update(w, b, [[c] for c in _clients()], 0.4 * client_factor)
    w, b = w - 0.5 * server_factor * dw, b - 0.5 * server_factor * db
    np.testing.assert_allclose(state.global_model_weights.trainable[0], w, rtol=1e-5)
    np.testing.assert_allclose(state.global_model_weights.trainable[1], b, rtol=1e-5)


@pytest.mark.usefixtures('worker')
def test_a_constant_schedule_leaves_the_state_as_it_is_without_one():
  plain, constant = (
    fed_opt.fed_adam(**arguments)(_TASK, algorithms.Communication(), _WHOLE, 3)
    for arguments in ({}, dict(client_schedule=schedules.constant(), server_schedule=schedules.constant()))
  )
  assert constant.initialize.type_signature == plain.initialize.type_signature
  assert len(plain.initialize.type_signature.result.member.finalizer) == 2  # One state a variable, and no counter.


@pytest.mark.usefixtures('worker')
def test_the_factor_follows_the_round_and_not_how_often_a_variable_was_trained():
  @tff.tensorflow.computation
  def weights():
    return tff.learning.models.ModelWeights((tf.constant([1.0]), tf.constant([1.0])), ())

  process = finalizer.build_finalizer(
    tff.learning.optimizers.build_sgdm(0.5, momentum=0.5),
    weights.type_signature.result,
    (True, True),
    schedules.exponential(decay=0.1, rounds=1),
  )
  state, values = process.initialize(), weights()
  deltas = (np.array([1.0], np.float32),) * 2
  for trained in ([True, True], [True, False], [True, True]):
    output = process.next(state, values, collections.OrderedDict(delta=deltas, trained=np.array(trained)))
    state, values = output.state, output.result
  # Velocities 1, 1.5, 1.75 and 1, -, 1.5 at the learning rates 0.5, 0.05, 0.005.
  np.testing.assert_allclose(values.trainable[0], [1 - 0.5 - 0.075 - 0.00875], rtol=1e-6)
  np.testing.assert_allclose(values.trainable[1], [1 - 0.5 - 0.0075], rtol=1e-6)
  assert state['round_number'] == 4
  np.testing.assert_allclose([each['learning_rate'] for each in state['states']], [0.5, 0.5])
