"""Rounds whose clients are hidden: the mean of those that are seen, by every policy, codec, algorithm and privacy that can."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from compression import catalog as codecs
from compression.privacy import catalog as privacies
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
from optimizers import trainable
from tests import tiny_language

pytestmark = pytest.mark.usefixtures('worker')

_LSTM = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
_TRANSFORMER = tiny_language.task().model
_CLIENTS = [tiny_language.client(key) for key in range(1, 5)]
_FINE = modular.Modular(bits=24, limit=4.0)  # A step of half a millionth.


class _Row(NamedTuple):
  """A combination: every policy that clients can be hidden with, tiers, dropout, and the codecs that are linear."""

  tiers: tuple[trainable.Policy, ...]
  upload: str
  model: model_lib.Model = _LSTM
  dropout: client_dropout.ClientDropout = client_dropout.NONE


_ROWS = (
  _Row((policies.All(),), 'identity'),
  _Row((policies.Random(fraction=0.5),), 'identity'),
  _Row((policies.Random(fraction=0.5, denominator='all'),), 'concat|hadamard'),
  _Row((policies.Random(fraction=0.5, resample='round'),), 'randk(fraction=0.4, shared=True)'),
  _Row((policies.Lora(rank=2),), 'concat|hadamard', _TRANSFORMER),
  _Row((policies.Frozen(),), 'hadamard|randk(fraction=0.4, shared=True)'),
  _Row((policies.Bias(),), 'identity', dropout=client_dropout.bernoulli(rate=0.2)),
  _Row((policies.Head(), policies.Suffix(blocks=1)), 'small_as(size=40)|hadamard'),
  _Row((policies.Adapter(width=2),), 'identity', _TRANSFORMER),
)  # fmt: skip
_LINEAR = ('hadamard', 'identity', 'randk')
_APART = (policies.Width,)  # Clients hold parts of their own.


def _devices(tiers: Sequence[trainable.Policy]) -> devices_lib.Devices:
  return devices_lib.Devices(tuple(tiers), (1.0 / len(tiers),) * len(tiers))


def _process(row: _Row, secure_sum=None, mechanism=None, algorithm: algorithms.Algorithm | None = None):
  devices = _devices(row.tiers)
  task = language_task.build(devices.adapt(row.model), tiny_language.LENGTH)
  communication = algorithms.Communication(codec_specs.build(row.upload, 'upload'))
  algorithm, batches = algorithm or fed_opt.fed_avg(client_lr=1.0), local_batches.LocalBatches(batch_size=3)
  return algorithm(task, communication, batches, 1, devices, row.dropout, 'uniform', mechanism, secure_sum)


def _assert_near(one, other, tolerance: float = 2e-5) -> None:
  for of_one, of_other in zip(
    one.state.global_model_weights.trainable, other.state.global_model_weights.trainable, strict=True
  ):
    np.testing.assert_allclose(of_one, of_other, atol=tolerance)


def test_every_policy_is_in_a_row_or_apart():
  assert {type(policy) for row in _ROWS for policy in row.tiers} | set(_APART) == set(catalog.POLICIES.values())


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{type(row.tiers[0]).__name__} {row.upload}')
def test_on_a_fine_grid_it_is_the_mean_of_clients_that_are_seen(row):
  hidden, seen = _process(row, _FINE.planned(len(_CLIENTS))), _process(row)
  done, reference = (process.next(process.initialize(), _CLIENTS) for process in (hidden, seen))
  _assert_near(done, reference)
  measured = done.metrics['aggregator']
  assert (measured['wrapped_values'], measured['cut_values'], measured['aborted_rounds']) == (0, 0, 0)
  assert done.metrics['distributor'] == reference.metrics['distributor']
  assert done.metrics['client_work']['trained_parameters'] == reference.metrics['client_work']['trained_parameters']


@pytest.mark.parametrize('name', [name for name in catalog.ALGORITHMS if name != 'mime_lite'])
def test_every_algorithm(name):
  row, algorithm = _Row((policies.Random(fraction=0.5),), 'identity'), catalog.ALGORITHMS[name]()
  hidden, seen = _process(row, _FINE.planned(len(_CLIENTS)), None, algorithm), _process(row, None, None, algorithm)
  first = [process.next(process.initialize(), _CLIENTS) for process in (hidden, seen)]
  # Adaptive servers divide by how far values have moved, also those that hardly have.
  _assert_near(*first, tolerance=2e-3)


@pytest.mark.parametrize('name', [name for name in privacies.PRIVACIES if name != 'none'])
def test_every_kind_of_privacy(name):
  secure = modular.Modular(bits=20)
  given = dict(noise_multiplier=0.5, clip=0.5, delta=1e-5) | (dict(count_stddev=1.0) if name == 'adaptive_clip' else {})
  plan = privacies.PRIVACIES[name](**given).planned(plans.Cohort(40, 4, 5, secure))
  row = _Row((policies.Bias(),), 'identity')
  hidden = _process(row, secure.planned(4, 3, plan.client_variance, 7), plan.mechanism(seed=1))
  done = hidden.next(hidden.initialize(), _CLIENTS)
  measured = done.metrics['aggregator']
  if name == 'distributed':
    # Four clients of variance 1 / 3 each: noise of 0.5 * 0.5 * sqrt(4 / 3) / 4 = 0.0722 in the mean.
    assert measured['noise_stddev'] == pytest.approx(0.0722, rel=0.5)
    return
  seen = _process(row, None, plan.mechanism(seed=1))
  reference = seen.next(seen.initialize(), _CLIENTS)
  _assert_near(done, reference, tolerance=1e-4)
  for column in ('clip', 'clipped_fraction', 'noise_stddev'):
    assert measured[column] == pytest.approx(reference.metrics['aggregator'][column], rel=1e-4)


@pytest.mark.parametrize('is_private', [False, True])
def test_too_few_answers_leave_the_model_as_it_was(is_private):
  row = _Row((policies.All(),), 'identity', dropout=client_dropout.bernoulli(rate=0.99))
  cohort, mechanism = plans.Cohort(40, 4, 5, modular.Modular(bits=20)), None
  if is_private:
    mechanism = (
      privacies.PRIVACIES['tree'](noise_multiplier=0.5, clip=0.5, delta=1e-5).planned(cohort).mechanism(seed=1)
    )
  process = _process(row, _FINE.planned(len(_CLIENTS)), mechanism)
  state = process.initialize()
  done = process.next(state, _CLIENTS)
  measured = done.metrics['aggregator']
  assert measured['aborted_rounds'] == 1
  assert (measured.get('noise_stddev', 0), measured.get('signal_to_noise', 0)) == (0, 0)
  for before, after in zip(
    state.global_model_weights.trainable, done.state.global_model_weights.trainable, strict=True
  ):
    np.testing.assert_array_equal(before, after)


def _check(
  upload: str = 'identity',
  tiers: Sequence[trainable.Policy] = (policies.All(),),
  weighting: str = 'uniform',
  algorithm: algorithms.Algorithm | None = None,
  selects: bool = False,
) -> None:
  chosen = selection.Selection(vocabulary=8) if selects else None
  communication = algorithms.Communication(codec_specs.build(upload, 'upload'), selection=chosen)
  devices = _devices(tiers)
  model = devices.adapt(_TRANSFORMER)
  (algorithm or fed_opt.fed_avg()).check_secure(model, communication, devices, weighting)


@pytest.mark.parametrize('name', [*codecs.STAGES, *codecs.ADAPTIVE])
def test_codecs_of_ranges_positions_or_codes_of_their_own_are_refused(name):
  if name in _LINEAR:
    return _check('randk(shared=True)' if name == 'randk' else name)
  takes_levels = name in ('elias_gamma', 'rans')
  with pytest.raises(ValueError, match=r'use (identity, )?hadamard'):
    _check(f'uniform|{name}' if takes_levels else name)
  return None


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    (dict(algorithm=catalog.ALGORITHMS['mime_lite']()), 'mime_lite sends gradients too: use another algorithm'),
    (dict(upload='randk'), r'use identity, hadamard or randk\(shared=True\)'),
    (dict(upload='small_as(codec="uniform")|hadamard'), 'what uniform leaves cannot be added up unseen'),
    (dict(tiers=(policies.Width(fraction=0.5),)), 'a width, or a rank by tier or round, gives a client its own part'),
    (dict(tiers=(policies.Lora(rank=2), policies.Lora(rank=4))), 'or one rank'),
    (dict(selects=True), 'leave out --download=select'),
    (dict(weighting='examples'), 'use --client_weighting=uniform'),
  ],
)
def test_what_cannot_be_added_up_unseen_is_refused(changed, message):
  with pytest.raises(ValueError, match=message):
    _check(**changed)


def test_a_grid_too_coarse_for_the_bound_is_refused():
  plan = privacies.PRIVACIES['gaussian'](noise_multiplier=1.0, clip=0.3, delta=1e-5).planned(plans.Cohort(40, 4, 5))
  with pytest.raises(ValueError, match='a grid of 4 bits is too coarse'):
    _process(_Row((policies.All(),), 'identity'), modular.Modular(bits=4).planned(4), plan.mechanism(seed=1))
