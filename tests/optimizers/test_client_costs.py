"""The cost of a client's round: operations by hand, bytes as they travel, memory part by part."""

import dataclasses

import pytest
import tensorflow as tf

from compression import update_codec
from experiments.command import codec_specs
from models import language_task
from models import model as model_lib
from models import transformer
from optimizers import algorithms
from optimizers import client_costs
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import mime_lite
from optimizers import policies
from optimizers import trainable
from tests import tiny_language

_MODEL = transformer.transformer(num_layers=2, width=4, mlp_width=6, num_heads=1)(vocabulary_size=10)
_WORKLOAD = client_costs.ClientWorkload(
  build_task=lambda model: language_task.build(model, sequence_length=5),
  optimizer=fed_opt.fed_avg(client_lr=0.1).client_optimizer,
  upload=update_codec.UpdateCodec(),
  batch_size=3,
  num_examples=12,
)


def _suffix_size(blocks: int) -> int:
  chosen = ['head', *(f'block_{index}' for index in range(2 - blocks, 2))]
  return sum(variable.size for variable in _MODEL.variables if variable.block in chosen)


def _cost(
  policy: trainable.Policy, model: model_lib.Model, workload: client_costs.ClientWorkload
) -> client_costs.ClientCost:
  return client_costs.client_cost(devices_lib.Devices((policy,)), 0, model, workload)


@pytest.mark.parametrize('blocks', [1, 2])
def test_bytes_of_a_suffix(blocks):
  cost = _cost(policies.Suffix(blocks), _MODEL, _WORKLOAD)
  bitmap = -(-len(_MODEL.variables) // 8)
  assert cost.upload_bytes == 4 * _suffix_size(blocks) + bitmap + 4


def test_operations_of_a_round_are_those_of_its_examples():
  once = _cost(policies.Suffix(1), _MODEL, _WORKLOAD)
  twice = _cost(policies.Suffix(1), _MODEL, dataclasses.replace(_WORKLOAD, num_examples=24))
  assert twice.flops == 2 * once.flops
  # One more block: kernels of 4 x 12, 4 x 4, 4 x 6 and 6 x 4, twice 2 operations a token backward (one product for the
  # kernel, one for its input, which is new except for the first kernel), and attention, 2 products of [5, 4] x [4, 5],
  # each twice more backward. The block above also gets the product for its first input, 4 x 12.
  kernels, attention = 4 * 12 + 4 * 4 + 4 * 6 + 6 * 4, 2 * 5 * 5 * 4
  backward = 2 * 12 * (5 * (2 * kernels - 4 * 12 + 4 * 12) + 2 * attention)
  both = _cost(policies.Suffix(2), _MODEL, _WORKLOAD)
  assert both.flops - once.flops == backward


def test_memory_grows_with_what_is_trained():
  costs = [_cost(policies.Suffix(blocks), _MODEL, _WORKLOAD) for blocks in (1, 2)]
  added = 4 * (_suffix_size(2) - _suffix_size(1))
  assert costs[1].modelled_memory_bytes - costs[0].modelled_memory_bytes > 2 * added
  assert costs[0].modelled_memory_bytes > 4 * _MODEL.num_parameters


def test_a_sub_model_is_held_alone():
  half = _cost(policies.Width(0.5), _MODEL, _WORKLOAD)
  whole = _cost(policies.Width(1.0), _MODEL, _WORKLOAD)
  assert half.upload_bytes < whole.upload_bytes
  assert half.modelled_memory_bytes < whole.modelled_memory_bytes
  assert half.flops < whole.flops


def test_bytes_that_depend_on_the_values_are_unknown():
  def upload_bytes(text):
    workload = dataclasses.replace(_WORKLOAD, upload=codec_specs.build(text, 'upload'))
    return _cost(policies.All(), _MODEL, workload).upload_bytes

  assert upload_bytes('uniform(bits=8)|rans') is None
  assert upload_bytes('rate_distortion') is None
  assert upload_bytes('uniform(bits=8)') < 4 * _MODEL.num_parameters


def test_what_is_drawn_has_no_cost():
  with pytest.raises(ValueError, match='must not be drawn anew'):
    _cost(policies.Random(0.7), _MODEL, _WORKLOAD)


def test_shared_states_have_none():
  optimizer = mime_lite.mime_lite().client_optimizer
  with pytest.raises(ValueError, match='not accounted for'):
    _cost(policies.All(), _MODEL, dataclasses.replace(_WORKLOAD, optimizer=optimizer))


@pytest.mark.parametrize(
  'text',
  [
    'identity',
    'uniform(bits=4)',
    'uniform(levels=3)',
    'hadamard|uniform(bits=2)',
    'concat|hadamard|uniform(bits=8)',
    'topk(fraction=0.2)|uniform(levels=3)',
    'concat|topk(fraction=0.05)',
    'randk(fraction=0.3)',
    'eden(bits=2.5)',
    'concat|eden(bits=0.3)',
  ],
)
def test_payload_bytes_are_those_of_what_is_encoded(text):
  codec = codec_specs.build(text, 'upload')
  tensors = [tf.ones([5, 7]), tf.ones([3]), tf.ones([40])]
  specs, seed = [tf.TensorSpec(tensor.shape) for tensor in tensors], tf.constant([1, 2], tf.int64)
  for present in ([True, True, True], [False, True, False]):
    sent = codec.encode(tensors, tf.constant(present), seed, seed)
    counted = sum(int(number) for number in update_codec.num_bytes(sent))
    assert codec.payload_bytes(specs, present) == counted


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'tiers',
  [
    pytest.param([policies.Head(), policies.Suffix(1)], id='suffix'),
    pytest.param([policies.Width(0.5), policies.Width(1.0)], id='width'),
    pytest.param([policies.Width(0.5), policies.Width(0.5)], id='equal_widths'),
    pytest.param([policies.Lora(2), policies.Lora(4)], id='lora'),
  ],
)
def test_travelled_bytes_are_those_of_the_plan(tiers):
  task, devices = tiny_language.task(), devices_lib.Devices(tuple(tiers), (0.5, 0.5))
  workload = dataclasses.replace(_WORKLOAD, build_task=lambda model: dataclasses.replace(task, model=model))
  adapted = dataclasses.replace(task, model=devices.adapt(task.model))
  process = fed_opt.fed_avg()(adapted, algorithms.Communication(), local_batches.LocalBatches(3), 0, devices)
  keys = {int(devices.tier(tf.constant(key, tf.int64))): key for key in range(8)}
  assert len(keys) == 2
  expected = [client_costs.client_cost(devices, tier, task.model, workload).upload_bytes for tier in keys]
  metrics = process.next(process.initialize(), [tiny_language.client(key) for key in keys.values()]).metrics
  assert metrics['aggregator']['upload_bytes'] == sum(expected)
  assert metrics['aggregator']['upload_bytes_per_client_max'] == max(expected)
