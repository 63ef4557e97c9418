"""A round whose tier the server draws is the round of devices that all are of that tier, with whatever else there is."""

import contextlib
import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from compression.privacy import catalog as privacies
from compression.privacy import plans
from compression.secure_sums import modular
from experiments.command import codec_specs
from experiments.workers import in_process
from experiments.workers import split_computation
from models import language_task
from models import lstm
from models import model as model_lib
from optimizers import algorithms
from optimizers import catalog
from optimizers import client_dropout
from optimizers import devices as devices_lib
from optimizers import local_batches
from optimizers import policies
from optimizers import trainable
from tests import tiny_language

pytestmark = pytest.mark.usefixtures('worker')

_LSTM = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
_TRANSFORMER = tiny_language.task().model
_CLIENTS = [tiny_language.client(key) for key in range(1, 5)]
_RANDOM = dict(resample='round', denominator='all')


class _Row(NamedTuple):
  """A combination: every algorithm and kind of privacy is in one, codecs of each kind, secure sums and dropout."""

  algorithm: str
  tiers: tuple[trainable.Policy, trainable.Policy]
  upload: str
  download: str = 'identity'
  model: model_lib.Model = _LSTM
  dropout: client_dropout.ClientDropout = client_dropout.NONE
  privacy: str = 'none'
  secure_sum: modular.Modular | None = None


_ROWS = (
  _Row('fed_avg', (policies.All(), policies.Width(fraction=0.5)), 'qsgd', model=_TRANSFORMER),
  _Row('fed_adam', (policies.Random(0.3, **_RANDOM), policies.Random(0.8, **_RANDOM)), 'uniform(bits=8)|rans', 'uniform(bits=8)'),
  _Row('fed_adagrad', (policies.Head(), policies.All()), 'topk(fraction=0.2)|uniform(bits=8)'),
  _Row('local_adam', (policies.All(), policies.Bias()), 'rate_distortion'),
  _Row('mime_lite', (policies.Suffix(blocks=1), policies.Head()), 'eden(bits=2)', dropout=client_dropout.bernoulli(rate=0.3)),
  _Row('fed_yogi', (policies.All(), policies.Bias()), 'terngrad', privacy='adaptive_clip'),
  _Row('fed_avgm', (policies.Suffix(blocks=1), policies.Bias()), 'sign', privacy='tree'),
  _Row('fed_avg', (policies.Lora(rank=3), policies.Lora(rank=1)), 'concat|drive', model=_TRANSFORMER, privacy='blt'),
  _Row('fed_adam', (policies.Head(), policies.All()), 'concat|hadamard', privacy='gaussian', secure_sum=modular.Modular()),
  _Row('fed_prox', (policies.Head(), policies.Adapter(width=2)), 'randk(fraction=0.5, shared=True)', model=_TRANSFORMER, privacy='distributed', secure_sum=modular.Modular()),
)  # fmt: skip
_APART = (policies.Frozen,)  # Beside others it would have to travel.
_ALMOST_NEVER = 1e-9


def _done(row: _Row, by_round: bool):
  """Returns the first round, of the second tier, without noise to speak of: tiers get it wherever one of them trains."""
  devices = devices_lib.Devices(row.tiers, (_ALMOST_NEVER, 1.0 - _ALMOST_NEVER), by_round)
  task = language_task.build(devices.adapt(row.model), tiny_language.LENGTH)
  communication = algorithms.Communication(
    codec_specs.build(row.upload, 'upload'), codec_specs.build_download(row.download)
  )
  mechanism = None
  if row.privacy != 'none':
    counted = dict(count_stddev=1.0) if row.privacy == 'adaptive_clip' else {}
    kind = privacies.PRIVACIES[row.privacy](noise_multiplier=0.5, clip=0.5, delta=1e-5, **counted)
    plan = kind.planned(plans.Cohort(20, len(_CLIENTS), 4, row.secure_sum))
    mechanism = dataclasses.replace(plan.mechanism(seed=1), noise_multiplier=1e-9)
  summed = row.secure_sum and row.secure_sum.planned(len(_CLIENTS), noise_variance=1e-9)
  weighting = 'uniform' if mechanism or summed else 'examples'
  algorithm, batches = catalog.ALGORITHMS[row.algorithm](), local_batches.LocalBatches(batch_size=3)
  process = algorithm(task, communication, batches, 1, devices, row.dropout, weighting, mechanism, summed)
  sends_slices = split_computation.sends_slices(process.next)
  with contextlib.nullcontext() if sends_slices else in_process.in_process(threads=2):
    return process.next(process.initialize(), _CLIENTS)


def test_every_algorithm_policy_and_privacy_is_in_a_row_or_apart():
  assert {row.algorithm for row in _ROWS} == set(catalog.ALGORITHMS)
  assert {type(policy) for row in _ROWS for policy in row.tiers} | set(_APART) == set(catalog.POLICIES.values())
  assert {row.privacy for row in _ROWS} == set(privacies.PRIVACIES)


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{row.algorithm} {row.upload} {row.privacy} {row.secure_sum}')
def test_it_is_the_round_of_devices_of_that_tier(row):
  of_round, of_devices = (_done(row, by_round) for by_round in (True, False))
  for one, other in zip(*(each.state.global_model_weights.trainable for each in (of_round, of_devices)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
  counted = [
    tf.nest.flatten([each.metrics['client_work'], each.metrics['distributor']]) for each in (of_round, of_devices)
  ]
  for one, other in zip(*counted, strict=True):
    if np.issubdtype(np.asarray(one).dtype, np.integer):
      assert one == other
