"""Private rounds: no client moves the model by more than its bound, whatever it trains, sends and by which codec."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from compression import catalog as codecs
from compression.privacy import catalog as privacies
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise
from compression.privacy import plans
from compression.secure_sums import modular
from experiments.command import codec_specs
from models import language_task
from models import lstm
from models import model as model_lib
from optimizers import algorithms
from optimizers import catalog
from optimizers import client_dropout
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import policies
from optimizers import selection
from optimizers import sendable
from optimizers import trainable
from tests import tiny_language

pytestmark = pytest.mark.usefixtures('worker')

_LSTM = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
_TRANSFORMER = tiny_language.task().model
_CLIENTS = [tiny_language.client(key) for key in range(1, 5)]
_BOUND, _EXPECTED = 0.3, 5


class _Row(NamedTuple):
  """A combination: every policy, federated select, tiers, and codecs of each kind."""

  tiers: tuple[trainable.Policy, ...]
  upload: str
  model: model_lib.Model = _LSTM
  selects: bool = False
  dropout: client_dropout.ClientDropout = client_dropout.NONE


_ROWS = (
  _Row((policies.All(),), 'uniform(bits=8)|rans'),
  _Row((policies.Random(fraction=0.5, denominator='all'),), 'concat|hadamard|uniform(bits=4)'),
  _Row((policies.Random(fraction=0.5, resample='round', denominator='all'),), 'randk(fraction=0.2)'),
  _Row((policies.Lora(rank=2),), 'concat|drive', _TRANSFORMER),
  _Row((policies.Frozen(),), 'topk(fraction=0.2)|uniform(bits=8)'),
  _Row((policies.Bias(),), 'sign', dropout=client_dropout.bernoulli(rate=0.4)),
  _Row((policies.Head(), policies.Suffix(blocks=1)), 'terngrad'),
  _Row((policies.Adapter(width=2),), 'eden(bits=2)', _TRANSFORMER),
  _Row((policies.Width(fraction=0.5, denominator='all'),), 'three_lc', _TRANSFORMER),
  _Row((policies.All(),), 'qsgd', _TRANSFORMER, selects=True),
)  # fmt: skip


def _devices(tiers: tuple[trainable.Policy, ...]) -> devices_lib.Devices:
  return devices_lib.Devices(tiers, (1.0 / len(tiers),) * len(tiers))


def _process(
  row: _Row,
  mechanism: mechanism_lib.Mechanism | None,
  algorithm: algorithms.Algorithm | None = None,
  secure_sum: modular.SumPlan | None = None,
):
  """Returns a process whose server subtracts the mean itself from the weights."""
  devices = _devices(row.tiers)
  task = language_task.build(devices.adapt(row.model), tiny_language.LENGTH)
  communication = algorithms.Communication(
    codec_specs.build(row.upload, 'upload'), selection=selection.Selection(vocabulary=8) if row.selects else None
  )
  algorithm = algorithm or fed_opt.fed_avg(client_lr=1.0)
  batches = local_batches.LocalBatches(batch_size=3)
  return algorithm(task, communication, batches, 1, devices, row.dropout, 'uniform', mechanism, secure_sum)


def _weights(process, clients) -> list[np.ndarray]:
  return [np.asarray(each) for each in process.next(process.initialize(), clients).state.global_model_weights.trainable]


def _distance(ones: list[np.ndarray], others: list[np.ndarray]) -> float:
  return float(
    np.sqrt(sum(np.sum(np.square(one - other, dtype=np.float64)) for one, other in zip(ones, others, strict=True)))
  )


def _mechanism(**changed) -> mechanism_lib.Mechanism:
  return mechanism_lib.Mechanism(
    **dict(noise=noise.Independent(), noise_multiplier=1.0, bound=_BOUND, num_clients=_EXPECTED, seed=7) | changed
  )


@pytest.mark.parametrize(
  'tiers',
  [
    (policies.Lora(rank=1), policies.Lora(rank=4)),
    (policies.Suffix(blocks=1), policies.All()),
    (
      policies.Width(fraction=0.25, rolling=False, denominator='all'),
      policies.Width(fraction=1.0, rolling=False, denominator='all'),
    ),
  ],
  ids=['lora', 'suffix', 'width'],
)
def test_what_no_client_of_a_round_trains_gets_no_noise(tiers):
  # DP-DyLoRA (arXiv 2405.06368): the server draws a rank, or whatever tiers differ in, for each round.
  devices = devices_lib.Devices(tiers, (0.5, 0.5), by_round=True)
  model = devices.adapt(_TRANSFORMER)
  task, batches = language_task.build(model, tiny_language.LENGTH), local_batches.LocalBatches(batch_size=3)
  process = fed_opt.fed_avg()(
    task, algorithms.Communication(), batches, 1, devices, client_dropout.NONE, 'uniform', _mechanism()
  )
  state, moved, sent = process.initialize(), set(), set()
  for _ in range(6):
    before = state.global_model_weights.trainable
    done = process.next(state, _CLIENTS)
    state = done.state
    moved.add(
      sum(np.sum(np.not_equal(a, b)) for a, b in zip(before, state.global_model_weights.trainable, strict=True))
    )
    sent.add(int(done.metrics['client_work']['trained_parameters']) // len(_CLIENTS))
  assert len(moved) == len(sent) == 2
  # Each value that a client trains gets noise, and no other; float32 loses the noise of a large weight now and then.
  assert max(sent) >= max(moved) >= 0.99 * max(sent)
  assert min(sent) >= min(moved) >= 0.99 * min(sent)


def test_every_policy_is_in_a_row():
  assert {type(policy) for row in _ROWS for policy in row.tiers} == set(catalog.POLICIES.values())


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{type(row.tiers[0]).__name__} {row.upload}')
def test_no_client_moves_the_model_by_more_than_its_bound(row):
  # The noise is a function of seed and round alone, so that of two runs the difference is that of the clients.
  process = _process(row, _mechanism())
  all_of_them, three, nobody = (_weights(process, clients) for clients in (_CLIENTS, _CLIENTS[1:], []))
  assert 0.0 < _distance(all_of_them, three) <= _BOUND / _EXPECTED + 1e-5
  assert 0.0 < _distance(three, nobody) <= 3 * _BOUND / _EXPECTED + 1e-5
  initial = [np.asarray(each) for each in process.initialize().global_model_weights.trainable]
  could_send = _could_send(row)
  moved = [bool(np.any(one != other)) for one, other in zip(nobody, initial, strict=True)]
  assert moved == could_send


def _could_send(row: _Row) -> list[bool]:
  """Returns what a client could train in round 1, by drawing for many clients."""
  devices = _devices(row.tiers)
  model = devices.adapt(row.model)
  with tf.Graph().as_default() as graph:
    flags = [tf.convert_to_tensor(flag) for flag in sendable.could_send_in(model, devices, 1, tf.constant(1, tf.int64))]
    with tf.compat.v1.Session(graph=graph) as session:
      return [bool(flag) for flag in session.run(flags)]


@pytest.mark.parametrize('name', ['fed_prox', 'fed_avgm', 'local_adam'])  # Both ends, with and without state.
def test_without_noise_and_bound_it_is_the_mean_over_all(name):
  row = _Row((policies.Random(fraction=0.5, denominator='all'),), 'identity')
  algorithm = catalog.ALGORITHMS[name]()
  private = _process(row, _mechanism(noise_multiplier=1e-12, bound=1e6, num_clients=len(_CLIENTS)), algorithm)
  for one, other in zip(_weights(private, _CLIENTS), _weights(_process(row, None, algorithm), _CLIENTS), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize('name', [name for name in privacies.PRIVACIES if name != 'none'])
def test_every_kind_goes_on_from_its_state_bit_by_bit(name):
  given = dict(noise_multiplier=0.5, clip=_BOUND, delta=1e-5) | (
    dict(count_stddev=1.0) if name == 'adaptive_clip' else {}
  )
  needs_sum = name == 'distributed'
  plan = privacies.PRIVACIES[name](**given).planned(plans.Cohort(40, 4, 5, modular.Modular() if needs_sum else None))
  secure_sum = modular.Modular().planned(4, 3, plan.client_variance) if needs_sum else None
  upload = 'identity' if needs_sum else 'uniform(bits=8)'
  process = _process(_Row((policies.All(),), upload), plan.mechanism(seed=1), secure_sum=secure_sum)
  state, after = process.initialize(), []
  for _ in range(3):
    output = process.next(state, _CLIENTS)
    again = process.next(state, _CLIENTS)
    tf.nest.map_structure(np.testing.assert_array_equal, tf.nest.flatten(output.state), tf.nest.flatten(again.state))
    state = output.state
    after.append(output.metrics['aggregator'])
  assert len({float(each['clip']) for each in after}) == (3 if name == 'adaptive_clip' else 1)


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    (dict(algorithm=catalog.ALGORITHMS['mime_lite']()), 'mime_lite sends gradients too: use another algorithm'),
    (dict(upload='rate_distortion'), 'use another one'),
    (dict(tiers=(policies.Random(fraction=0.5),)), 'use denominator="all"'),
    (dict(tiers=(policies.Width(fraction=0.5),)), 'use denominator="all"'),
    (dict(client_weighting='examples'), 'use --client_weighting=uniform'),
  ],
)
def test_what_breaks_the_bound_is_refused(changed, message):
  given = (
    dict(algorithm=fed_opt.fed_avg(), upload='identity', tiers=(policies.All(),), client_weighting='uniform') | changed
  )
  communication = algorithms.Communication(codec_specs.build(given['upload'], 'upload'))
  with pytest.raises(ValueError, match=message):
    given['algorithm'].check_private(communication, _devices(given['tiers']), given['client_weighting'])


def test_what_could_be_sent_is_known_before_the_round():
  model = _LSTM
  drawn_by_clients, drawn_in_rounds = policies.Random(0.3, denominator='all'), policies.Random(0.3, 'round', 'all')

  @tf.function(autograph=False)
  def flags(policy, round_number):
    found = sendable.could_send_in(model, _devices((policy,)), 1, round_number)
    return [tf.convert_to_tensor(flag) for flag in found]

  by_clients = flags(drawn_by_clients, tf.constant(1, tf.int64))
  assert all(bool(flag) for flag in by_clients)
  by_rounds = np.array([[bool(f) for f in flags(drawn_in_rounds, tf.constant(t, tf.int64))] for t in range(1, 30)])
  additive = np.array([variable.is_additive for variable in model.variables])
  assert by_rounds[:, additive].all()
  assert 0.0 < by_rounds[:, ~additive].mean() < 0.9


def test_codecs_of_every_kind_are_in_a_row():
  used = {link.partition('(')[0] for row in _ROWS for link in row.upload.split('|')}
  assert used >= {
    'rans',
    'hadamard',
    'randk',
    'drive',
    'topk',
    'sign',
    'terngrad',
    'eden',
    'three_lc',
    'qsgd',
    'concat',
  }
  assert used <= {*codecs.STAGES, 'concat'}
