"""What nobody trains: encoded once, counted once a client, and the same for server and clients."""

import dataclasses
from typing import Any
from typing import NamedTuple

import numpy as np
import pytest

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from models import language_task
from models import lstm
from models import model as model_lib
from optimizers import algorithms
from optimizers import catalog
from optimizers import client_dropout
from optimizers import devices
from optimizers import local_batches
from optimizers import policies
from optimizers import selection
from optimizers import trainable
from tests import tiny_language

pytestmark = pytest.mark.usefixtures('worker')

_MODEL = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
_TRANSFORMER = tiny_language.task().model
_HEAD = devices.Devices((policies.Head(),))
_FROZEN = [index for index, is_trained in enumerate(_HEAD.ever(_MODEL, 1)) if not is_trained]
_FROZEN_BYTES = 4 * sum(_MODEL.variables[index].size for index in _FROZEN)
_TRAINED_BYTES = 4 * _MODEL.num_parameters - _FROZEN_BYTES


class _Row(NamedTuple):
  """A combination that freezes something: every algorithm, every policy that does, tiers, slices and dropout."""

  algorithm: str
  tiers: tuple[trainable.Policy, ...]
  model: model_lib.Model = _MODEL
  dropout: client_dropout.ClientDropout = client_dropout.none()
  communication: algorithms.Communication = algorithms.Communication()


_ROWS = (
  _Row('fed_avg', (policies.Suffix(blocks=1),), _TRANSFORMER),
  _Row('fed_avgm', (policies.Adapter(width=2),), _TRANSFORMER),
  _Row('fed_adam', (policies.Lora(rank=2),), _TRANSFORMER),
  _Row('fed_adagrad', (policies.Bias(),), dropout=client_dropout.bernoulli(rate=0.5)),
  _Row('fed_yogi', (policies.Random(fraction=0.5, resample='never'),)),
  _Row('fed_prox', (policies.Head(), policies.Bias())),
  _Row('local_adam', (policies.Head(),)),
  _Row('mime_lite', (policies.Head(),)),
  _Row(
    'fed_avg',
    (policies.Head(),),  # The frozen embedding travels in slices, the block below the head once.
    _TRANSFORMER,
    communication=algorithms.Communication(selection=selection.Selection(vocabulary=8)),
  ),
)  # fmt: skip

_OF_HEAD = _Row('fed_adam', (policies.Head(),))


def _process(row: _Row = _OF_HEAD, **communication: Any):
  who = devices.Devices(row.tiers, (1.0 / len(row.tiers),) * len(row.tiers))
  task = language_task.build(who.adapt(row.model), tiny_language.LENGTH)
  travels = dataclasses.replace(row.communication, **communication)
  return catalog.ALGORITHMS[row.algorithm]()(task, travels, local_batches.LocalBatches(4), 1, who, row.dropout)


def _rounds(process, rounds):
  state, measured = process.initialize(), []
  for keys in rounds:
    output = process.next(state, list(map(tiny_language.client, keys)))
    state = output.state
    measured.append(output.metrics['distributor'])
  return state, measured


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{row.algorithm} {type(row.tiers[0]).__name__}')
def test_the_first_round_is_that_of_a_base_that_travels_in_each(row):
  (once, held), (every, sent) = (_rounds(_process(row, base=base), [[1, 2, 3]]) for base in ('once', 'every_round'))
  # Everybody is new: as many bytes travel, and clients that vanish have received them.
  assert held[0]['download_bytes'] == sent[0]['download_bytes'] > held[0]['download_bytes_frozen'] > 0
  preinstalled, kept = _rounds(_process(row, base='preinstalled'), [[1, 2, 3]])
  assert dict(kept[0]) == dict(download_bytes=held[0]['download_bytes'] - held[0]['download_bytes_frozen'])
  for weights in zip(*(each.global_model_weights.trainable for each in (once, every, preinstalled)), strict=True):
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


def test_every_algorithm_is_in_a_row():
  assert {row.algorithm for row in _ROWS} == set(catalog.ALGORITHMS)


def test_the_base_travels_in_the_first_round_of_each_client():
  state, measured = _rounds(_process(base='once'), [[1, 2], [2, 3], [3, 1]])
  assert [each['download_bytes_frozen'] for each in measured] == [2 * _FROZEN_BYTES, _FROZEN_BYTES, 0]
  assert [each['download_bytes'] - each['download_bytes_frozen'] for each in measured] == 3 * [2 * _TRAINED_BYTES]
  np.testing.assert_array_equal(state.distributor['holders'], [1, 2, 3])


@pytest.mark.parametrize(
  ('base', 'num_bytes'), [('preinstalled', _TRAINED_BYTES), ('every_round', 4 * _MODEL.num_parameters)]
)
def test_a_base_of_other_kinds_is_no_part_of_the_first_round(base, num_bytes):
  state, measured = _rounds(_process(base=base), [[1, 2]])
  assert dict(measured[0]) == dict(download_bytes=2 * num_bytes)
  held, _ = _rounds(_process(base='once'), [[1, 2]])
  for one, other in zip(held.global_model_weights.trainable, state.global_model_weights.trainable, strict=True):
    np.testing.assert_array_equal(one, other)


def test_weights_that_are_set_become_what_clients_decode():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]))
  process = _process(base='once', download=codec)
  state, measured = _rounds(process, [[1]])
  weights = process.get_model_weights(state)
  drawn = tuple(np.random.default_rng(0).normal(size=each.shape).astype(np.float32) for each in weights.trainable)
  changed = process.set_model_weights(state, type(weights)(drawn, weights.non_trainable))
  assert changed.distributor['base_bytes'] == measured[0]['download_bytes_frozen']
  # A value for each parameter, and the two ends of the range of each variable.
  assert changed.distributor['base_bytes'] == sum(_MODEL.variables[index].size + 8 for index in _FROZEN)
  for index, (given, held) in enumerate(zip(drawn, changed.global_model_weights.trainable, strict=True)):
    is_frozen = index in _FROZEN
    assert (len(np.unique(held)) <= 256) if is_frozen else np.array_equal(held, given)
    assert np.max(np.abs(held - given)) <= (np.ptp(given) / 255 * 1.001 if is_frozen else 0)
