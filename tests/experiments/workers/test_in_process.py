"""Rounds of this process count what the worker's count, to weights that differ by the order of sums alone."""

from concurrent import futures
import pathlib
import time
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import catalog as codecs
from compression.privacy import catalog as privacies
from compression.privacy import plans
from compression.secure_sums import modular
from experiments.command import codec_specs
from experiments.command import failures
from experiments.workers import concurrency
from experiments.workers import in_process
from experiments.workers import local_runtime
from experiments.workers import runtimes
from models import language_task
from models import lstm
from models import model as model_lib
from optimizers import algorithms
from optimizers import catalog
from optimizers import client_dropout
from optimizers import devices as devices_lib
from optimizers import evaluation
from optimizers import local_batches
from optimizers import policies
from optimizers import selection
from optimizers import trainable
from tests import tiny_language

_LSTM = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
_TRANSFORMER = tiny_language.task().model
_CLIENTS = [tiny_language.client(key) for key in range(1, 6)]


class _Row(NamedTuple):
  """A combination: every algorithm and policy of the catalogues is in one, every kind of codec, tiers and dropout."""

  algorithm: str
  tiers: tuple[trainable.Policy, ...]
  upload: str
  download: str = 'identity'
  model: model_lib.Model = _LSTM
  dropout: client_dropout.ClientDropout = client_dropout.none()
  privacy: str = 'none'
  secure_sum: modular.Modular | None = None


_ROWS = (
  _Row('fed_avg', (policies.All(),), 'identity'),
  _Row('fed_adam', (policies.Random(fraction=0.5),), 'uniform(bits=8)|rans', 'uniform(bits=8)'),
  _Row('fed_avgm', (policies.Lora(rank=2),), 'concat|hadamard|uniform(bits=4)', 'bfloat16', _TRANSFORMER),
  _Row('fed_adagrad', (policies.All(),), 'topk(fraction=0.2)|uniform(bits=8)'),
  _Row('fed_yogi', (policies.Frozen(),), 'concat|drive', 'float16'),
  _Row('fed_prox', (policies.Bias(),), 'sign', dropout=client_dropout.bernoulli(rate=0.4)),
  _Row('local_adam', (policies.Head(), policies.Suffix(blocks=1)), 'rate_distortion'),
  _Row('mime_lite', (policies.All(),), 'eden(bits=2)'),
  _Row('fed_avg', (policies.Adapter(width=2),), 'concat|randk(fraction=0.5)', model=_TRANSFORMER),
  _Row('fed_avg', (policies.All(),), 'uniform(bits=8)', privacy='gaussian'),
  _Row('fed_adam', (policies.Lora(rank=2),), 'uniform(bits=4)|rans', model=_TRANSFORMER, privacy='adaptive_clip'),
  _Row('fed_avgm', (policies.Random(0.5, 'round', 'all'),), 'sign', privacy='tree'),
  _Row('local_adam', (policies.Bias(),), 'identity', privacy='blt'),
  _Row('fed_adam', (policies.Random(0.5),), 'hadamard', secure_sum=modular.Modular(bits=12, limit=0.5)),
  _Row('fed_avg', (policies.Lora(rank=2),), 'identity', model=_TRANSFORMER, privacy='distributed', secure_sum=modular.Modular()),
)  # fmt: skip


_SLICES = (
  _Row('fed_avg', (policies.Width(fraction=0.5),), 'identity', model=_TRANSFORMER),
  _Row('fed_avg', (policies.All(),), 'identity', 'select(vocabulary=8)', _TRANSFORMER),
)


def _build(row: _Row) -> tuple[tff.learning.templates.LearningProcess, tff.Computation]:
  devices = devices_lib.Devices(row.tiers, (1.0 / len(row.tiers),) * len(row.tiers))
  task = language_task.build(devices.adapt(row.model), tiny_language.LENGTH)
  upload, selects = codec_specs.build(row.upload, 'upload'), row.download.startswith('select')
  communication = algorithms.Communication(
    upload,
    codec_specs.build_download('identity' if selects else row.download),
    selection=selection.Selection(vocabulary=8) if selects else None,
    measure_distortion=True,
  )
  batches = local_batches.LocalBatches(batch_size=3)
  mechanism, secure, variance = None, row.secure_sum, 0.0
  if row.privacy != 'none':
    kind = privacies.PRIVACIES[row.privacy](noise_multiplier=0.3, clip=0.5, delta=1e-5)
    plan = kind.planned(plans.Cohort(20, 5, 4, secure))
    mechanism, variance = plan.mechanism(seed=1), plan.client_variance
  weighting = 'uniform' if mechanism or secure else 'examples'
  summed = secure and secure.planned(5, noise_variance=variance)
  algorithm = catalog.ALGORITHMS[row.algorithm]()
  process = algorithm(task, communication, batches, 1, devices, row.dropout, weighting, mechanism, summed)
  return process, evaluation.build_evaluation(task)


def _two_rounds(process: tff.learning.templates.LearningProcess, evaluate: tff.Computation) -> tuple[list, list]:
  """Returns all that two rounds and an evaluation say, and the weights."""
  state, said = process.initialize(), []
  for _ in range(2):
    output = process.next(state, _CLIENTS)
    state = output.state
    said.append(output.metrics)
  weights = state.global_model_weights.trainable
  said.append(evaluate(weights, _CLIENTS[:2]))
  return tf.nest.flatten(said), [np.asarray(weight) for weight in weights]


def test_every_algorithm_and_policy_is_in_a_row():
  assert {row.algorithm for row in _ROWS} == set(catalog.ALGORITHMS)
  assert {type(policy) for row in (*_ROWS, *_SLICES) for policy in row.tiers} == set(catalog.POLICIES.values())
  assert any(row.upload in codecs.ADAPTIVE for row in _ROWS)
  assert {row.privacy for row in _ROWS} == set(privacies.PRIVACIES)


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{row.algorithm} {row.upload} {row.privacy} {row.secure_sum}')
def test_counts_are_those_of_the_worker_and_weights_as_near_as_sums_are(row, worker):
  built = _build(row)
  said, weights = _two_rounds(*built)
  with in_process.in_process(threads=2):
    said_here, weights_here = _two_rounds(*built)
  assert len(said) == len(said_here)
  for one, two in zip(said, said_here, strict=True):
    if np.issubdtype(np.asarray(one).dtype, np.integer):
      assert one == two
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
  for one, two in zip(weights, weights_here, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('row', _SLICES, ids=['width', 'select'])
def test_slices_of_the_model_are_refused(row):
  process, _ = _build(row)
  with (
    in_process.in_process() as here,
    pytest.raises(failures.UsageError, match=r'it sends clients slices .*--runtime=worker'),
  ):
    here.check(process.next)


def test_the_order_of_a_sum_does_not_depend_on_the_threads():
  built, found = _build(_ROWS[0]), []
  for threads in (1, 3):
    with in_process.in_process(threads):
      found.append(_two_rounds(*built)[1])
  for one, two in zip(*found, strict=True):
    np.testing.assert_array_equal(one, two)


@tff.tensorflow.computation(np.int64)
def _count_for_ever(step):
  return tf.while_loop(lambda i: i < 2**62, lambda i: [i + step], [tf.constant(0, tf.int64)])


@tff.federated_computation(tff.FederatedType(np.int64, tff.SERVER), tff.FederatedType(np.int64, tff.CLIENTS))
def _total_for_ever(state, steps):
  return state, tff.federated_sum(tff.federated_map(_count_for_ever, steps))


@tff.federated_computation(tff.FederatedType(np.int64, tff.SERVER), tff.FederatedType(np.int64, tff.CLIENTS))
def _total(state, values):
  return state, tff.federated_sum(values)


def test_what_is_killed_ends_soon_and_others_are_computed_after_a_restart():
  with in_process.in_process(threads=2) as here, futures.ThreadPoolExecutor(1) as killing:
    assert here.responds(1.0)
    begun = time.monotonic()
    killed = killing.submit(lambda: (time.sleep(0.5), here.kill()))
    with pytest.raises(tf.errors.CancelledError):
      _total_for_ever(0, [1, 1, 1, 1, 1])
    killed.result()
    assert time.monotonic() - begun < 10 and not here.responds(1.0)
    here.restart()
    assert here.responds(1.0)
    assert _total(0, [1, 2, 3])[1] == 6


@tff.tensorflow.computation(np.int64)
def _refuse_odd(value):
  with tf.control_dependencies([tf.debugging.Assert(tf.equal(value % 2, 0), ['odd'])]):
    return tf.identity(value)


@tff.federated_computation(tff.FederatedType(np.int64, tff.SERVER), tff.FederatedType(np.int64, tff.CLIENTS))
def _even_total(state, values):
  return state, tff.federated_sum(tff.federated_map(_refuse_odd, values))


def test_a_client_that_fails_is_no_lost_worker():
  with in_process.in_process(threads=2) as here:
    with pytest.raises(tf.errors.InvalidArgumentError, match='odd'):
      _even_total(0, [2, 3, 4])
    assert here.responds(1.0)
    assert _even_total(0, [2, 4])[1] == 6


def test_it_is_the_default_of_its_block_alone():
  with in_process.in_process() as outer:
    with in_process.in_process():
      pass
    assert isinstance(outer, local_runtime.Runtime)
    assert _total(0, [4, 5])[1] == 9
  with pytest.raises(RuntimeError, match='the block'):
    outer.invoke(_total, (0, [4, 5]))


def test_the_number_of_threads_is_checked():
  with pytest.raises(failures.UsageError, match='--runtime=in_process repeats itself in any case'):
    runtimes.build('in_process(threads=2)', deterministic=True)('worker.log', 1, 1)
  with pytest.raises(ValueError, match='threads must be a whole number'):
    runtimes.in_process(threads=-1)


@pytest.mark.parametrize(('clients', 'threads', 'expected'), [(3, 0, 3), (10, 0, 5), (10, 7, 7)])
def test_as_many_clients_at_a_time_as_have_a_processor_or_as_asked(monkeypatch, clients, threads, expected):
  monkeypatch.setattr(concurrency.os, 'sched_getaffinity', lambda _: set(range(5)))
  with runtimes.in_process(threads)(pathlib.Path('worker.log'), 1, clients) as started:
    assert started.threads == expected


def test_clients_that_do_not_fit_into_memory_take_turns(monkeypatch):
  monkeypatch.setattr(concurrency.os, 'sched_getaffinity', lambda _: set(range(5)))
  monkeypatch.setattr(concurrency, 'available_bytes', lambda: 30 * 10**6)  # See test_concurrency.
  with runtimes.start_in_process(pathlib.Path('worker.log'), 250_000, 10) as started:
    assert started.threads == 2


def test_where_a_round_runs_that_nobody_has_named_a_runtime_for():
  whole, _ = _build(_ROWS[0])
  assert runtimes.start_here(whole.next) is runtimes.start_in_process
  for row in _SLICES:
    process, _ = _build(row)
    assert runtimes.start_here(process.next) is runtimes.start_worker


@pytest.mark.parametrize(('clients_per_round', 'expected'), [(2, 3), (10, 1), (0, 1)])
def test_clients_share_the_processors_that_they_leave_idle(monkeypatch, clients_per_round, expected):
  monkeypatch.setattr(concurrency.os, 'sched_getaffinity', lambda _: set(range(6)))
  shared = []
  monkeypatch.setattr(in_process, 'share_operations', shared.append)
  assert runtimes.build(None, False, clients_per_round) is None
  assert shared == [expected]
  assert runtimes.build(None, True, clients_per_round).func is runtimes.start_worker  # In groups, as remote ones.


def test_graphs_run_as_they_are_inside_the_block_alone():
  def rewrites():
    return tf.config.optimizer.get_experimental_options().get('remapping')

  with in_process.in_process():
    assert rewrites() is False
  tf.config.optimizer.set_experimental_options({'remapping': True})
  try:
    with in_process.in_process():
      assert rewrites() is False
    assert rewrites() is True
  finally:
    tf.config.optimizer.set_experimental_options({'remapping': False})  # As in all tests.
