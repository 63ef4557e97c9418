"""Training a part through the whole process: only the part moves, only the part travels, and the rest costs nothing."""

import collections
import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from models import gradients
from models import language_task
from models import lstm
from models import task as task_lib
from models import transformer
from optimizers import algorithms
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import local_training
from optimizers import policies
from optimizers import selection

pytestmark = pytest.mark.usefixtures('worker')

_VOCABULARY, _LENGTH = 40, 6
_BATCHES = local_batches.LocalBatches(batch_size=4)
_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=2, num_heads=2)(_VOCABULARY)
_SMALL = lstm.lstm(width=4, num_cells=4)(_VOCABULARY)  # Of seven variables, four of them drawn.
_UNIFORM = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]))


class _Broadcast(policies.Frozen):
  """Freezes the same, but broadcasts it."""

  def rebuilt(self, model, seed):
    return frozenset()

  def choose(self, model, seeds):
    return policies.Frozen(self.blocks).choose(model, seeds)


def _clients(num_clients=4, num_examples=6):
  rng = np.random.default_rng(0)
  return [
    tf.data.Dataset.from_tensor_slices(
      collections.OrderedDict(
        tokens=rng.integers(1, _VOCABULARY, [num_examples, _LENGTH + 1]).astype(np.int32),
        client_key=np.full([num_examples], key, np.int64),
      )
    )
    for key in range(1, num_clients + 1)
  ]


def _process(devices, algorithm=None, communication=None, model=_MODEL):
  task = language_task.build(devices.adapt(model), _LENGTH)
  algorithm = algorithm or fed_opt.fed_adam(client_lr=0.5, server_lr=0.1)
  return task, algorithm(task, communication or algorithms.Communication(), _BATCHES, 1, devices)


def _alike(policy):
  return devices_lib.Devices((policy,), (1.0,))


@functools.cache
def _two_rounds(policy):
  """Returns a task, the weights before and after two rounds of its training by a policy, and the metrics of each round."""
  task, process = _process(_alike(policy))
  return task, *_trained(process)


def _trained(process, num_rounds=2, clients=None):
  """Returns the weights before and after, and the metrics of each round."""
  state, metrics = process.initialize(), []
  before = state.global_model_weights.trainable
  for _ in range(num_rounds):
    output = process.next(state, clients or _clients())
    state = output.state
    metrics.append(output.metrics)
  return before, state.global_model_weights.trainable, metrics


@pytest.mark.parametrize(
  ('policy', 'is_trained'),
  [
    pytest.param(policies.Suffix(blocks=1), lambda name: name.startswith(('block_1/', 'head/')), id='suffix'),
    pytest.param(policies.Head(), lambda name: name.startswith('head/'), id='head'),
    pytest.param(policies.Bias(), lambda name: name.endswith('bias'), id='bias'),
    pytest.param(policies.Lora(rank=2), lambda name: '_lora_' in name or name.startswith('head/'), id='lora'),
    pytest.param(policies.Adapter(width=2), lambda name: '_adapter_' in name or name.startswith('head/'), id='adapter'),
    pytest.param(
      policies.Frozen(blocks=1), lambda name: not name.startswith('block_0/') or name.endswith('bias'), id='frozen'
    ),
  ],
)
def test_only_the_part_moves_and_travels(policy, is_trained):
  task, before, after, metrics = _two_rounds(policy)
  trained_size = 0
  for variable, old, new in zip(task.model.variables, before, after, strict=True):
    if is_trained(variable.name):
      trained_size += variable.size
      # Softmax does not see what is added to every key, so the gradient of its bias is zero but for rounding.
      if not variable.name.endswith('key_bias'):
        assert not np.array_equal(old, new), variable.name
    else:
      np.testing.assert_array_equal(old, new, variable.name)
  bitmap = -(-len(task.model.variables) // 8)
  for measured in metrics:
    assert measured['aggregator']['upload_bytes'] == 4 * (4 * trained_size + bitmap + 4)
    assert measured['client_work']['trained_parameters'] == 4 * trained_size


def test_frozen_variables_travel_in_neither_direction():
  policy = policies.Frozen(blocks=1)
  _, _, _, metrics = _two_rounds(policy)
  rebuilt = policy.rebuilt(_MODEL, 1)
  travels = sum(variable.size for variable in _MODEL.variables if variable.name not in rebuilt)
  assert metrics[0]['distributor']['download_bytes'] == 4 * 4 * travels


def test_frozen_variables_are_rebuilt_as_they_were_drawn():
  # A client that trained on other frozen weights than the server's would send another update.
  frozen, whole = policies.Frozen(blocks=1), policies.All()
  same_choice = _Broadcast(blocks=1)
  results = [_two_rounds(policy)[2] for policy in (frozen, same_choice, whole)]
  for rebuilt, broadcast in zip(results[0], results[1], strict=True):
    np.testing.assert_array_equal(rebuilt, broadcast)
  assert not np.array_equal(results[0][0], results[2][0])


@pytest.mark.parametrize('concatenate', [False, True])
def test_random_subsets_upload_what_they_train(concatenate):
  upload = dataclasses.replace(_UNIFORM, concatenate=concatenate)
  communication = algorithms.Communication(upload=upload)
  _, process = _process(_alike(policies.Random(fraction=0.5)), communication=communication, model=_SMALL)
  _, _, metrics = _trained(process, num_rounds=3)
  fractions = []
  for measured in metrics:
    trained = measured['client_work']['trained_parameters']
    # A byte a value; ranges and weights apart.
    assert measured['aggregator']['upload_bytes_values'] == trained
    fractions.append(trained / (4 * _SMALL.num_parameters))
  assert np.std(fractions) > 0.0


@pytest.mark.parametrize(
  ('tiers', 'selected', 'most_ranges'),
  [
    pytest.param((policies.Lora(rank=2),), None, 1, id='lora'),
    pytest.param((policies.Suffix(blocks=1), policies.Suffix(blocks=2)), None, 2, id='tiers'),
    pytest.param((policies.All(),), selection.Selection(blocks=1), 2, id='blocks'),
  ],
)
def test_concatenated_updates_hold_what_is_trained_and_nothing_else(tiers, selected, most_ranges):
  devices = devices_lib.Devices(tiers, (1.0 / len(tiers),) * len(tiers))
  upload = dataclasses.replace(_UNIFORM, concatenate=True)
  communication = algorithms.Communication(upload=upload, selection=selected)
  task, process = _process(devices, communication=communication)
  _, _, metrics = _trained(process, num_rounds=1)
  assert metrics[0]['aggregator']['upload_bytes_values'] == metrics[0]['client_work']['trained_parameters']
  # Of four clients, ranges of 8 bytes, presence bits, and the block that they chose.
  least = 4 * (8 + -(-len(task.model.variables) // 8))
  assert least <= metrics[0]['aggregator']['upload_bytes_side'] <= least + 4 * (8 * (most_ranges - 1) + 1)


def test_a_variable_that_nobody_drew_stays_although_adam_has_momentum():
  _, process = _process(_alike(policies.Random(fraction=0.4, resample='round')), model=_SMALL)
  state, num_resting = process.initialize(), 0
  for _ in range(6):
    output = process.next(state, _clients())
    moved = [
      not np.array_equal(old, new)
      for old, new in zip(
        state.global_model_weights.trainable, output.state.global_model_weights.trainable, strict=True
      )
    ]
    multiplicative = [not variable.is_additive for variable in _SMALL.variables]
    trained = sum(v.size for v, flag in zip(_SMALL.variables, moved, strict=True) if flag)
    assert output.metrics['client_work']['trained_parameters'] == 4 * trained
    num_resting += sum(not flag for flag, is_drawn in zip(moved, multiplicative, strict=True) if is_drawn)
    state = output.state
  assert num_resting > 0


def test_tiers_mix_suffixes_in_one_round():
  devices = devices_lib.Devices((policies.Head(), policies.Suffix(blocks=2)), (0.5, 0.5))
  _, process = _process(devices)
  clients = _clients(num_clients=12)
  _, _, metrics = _trained(process, num_rounds=1, clients=clients)
  tiers = [int(devices.tier(tf.constant(key, tf.int64))) for key in range(1, 13)]
  assert set(tiers) == {0, 1}
  head = sum(v.size for v in _MODEL.variables if v.block == 'head')
  suffix = head + sum(v.size for v in _MODEL.variables if v.block.startswith('block_'))
  expected = sum((head, suffix)[tier] for tier in tiers)
  assert metrics[0]['client_work']['trained_parameters'] == expected


def test_a_mean_over_all_dilutes_what_few_trained():
  algorithm = fed_opt.fed_avg(client_lr=0.5)
  updates = {}
  for denominator in ('trained', 'all'):
    policy = policies.Random(fraction=0.5, denominator=denominator)
    before, after, _ = _trained(_process(_alike(policy), algorithm, model=_SMALL)[1], num_rounds=1)
    updates[denominator] = [new - old for old, new in zip(before, after, strict=True)]
  ratios = [
    np.linalg.norm(diluted) / np.linalg.norm(full)
    for diluted, full in zip(updates['all'], updates['trained'], strict=True)
    if np.linalg.norm(full) > 1e-6
  ]
  # Four clients with equally many examples: a quarter of them or all.
  for ratio in ratios:
    assert min(abs(ratio - quarter / 4) for quarter in range(1, 5)) < 1e-3
  assert min(ratios) < 0.9


def test_all_in_tiers_equals_all():
  devices = devices_lib.Devices((policies.All(), policies.All()), (0.5, 0.5))
  results = [_trained(_process(each, model=_SMALL)[1])[1] for each in (devices, devices_lib.ALIKE)]
  for one, two in zip(*results, strict=True):
    np.testing.assert_allclose(one, two, atol=1e-6)


def _products(policy):
  """Returns the shapes of all matrix products in a client's graph, those of branches and loops included."""
  task = language_task.build(policy.adapt(_MODEL), _LENGTH)
  local = local_training.LocalTraining(task, fed_opt.fed_avg().client_optimizer, _BATCHES, _alike(policy))
  received = local_training.Received(
    tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables),
    tf.TensorSpec([2], tf.int64),
    tf.TensorSpec([], tf.int64),
    {},
  )
  examples = tf.data.DatasetSpec(task.example_spec)
  graph = tf.function(local.__call__, autograph=False).get_concrete_function(received, examples).graph.as_graph_def()
  nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
  return [node for node in nodes if node.op == 'MatMul']


def test_a_frozen_layer_has_no_weight_gradient_product():
  # Of 13 kernels in products, counting the tied output layer: forward 13; for the weights of `all` 13 more.
  transposed_first = {
    name: sum(node.attr['transpose_a'].b for node in _products(policy))
    for name, policy in (
      ('all', policies.All()),
      ('suffix', policies.Suffix(blocks=1)),
      ('head', policies.Head()),
      ('bias', policies.Bias()),
    )
  }
  # x^T dz of the six kernels of a block, and dlogits^T x of the output layer.
  assert transposed_first == {'all': 13, 'suffix': 6, 'head': 0, 'bias': 0}


def test_a_frozen_variable_has_no_gradient():
  task = language_task.build(_MODEL, _LENGTH)
  batch = next(iter(_clients()[0].batch(4)))
  flags = policies.Suffix(blocks=1).choose(_MODEL, None)
  _, found = gradients.gradients(task, _MODEL.initial_weights(0), flags, batch, None)
  for flag, gradient in zip(flags, found, strict=True):
    assert (gradient is not None) == flag


def test_local_steps_equal_a_plain_loop():
  task = language_task.build(_MODEL, _LENGTH)
  weights = _MODEL.initial_weights(0)
  examples = _clients()[0]
  local = local_training.LocalTraining(
    task, fed_opt.fed_avg(client_lr=0.5, clip_norm=0.1).client_optimizer, local_batches.LocalBatches(100, 3)
  )
  received = local_training.Received(weights, tf.constant([1, 2], tf.int64), tf.constant(1, tf.int64), {})
  result = tf.function(local.__call__, autograph=False)(received, examples)
  batch = next(iter(examples.batch(100)))
  plain = [tf.Variable(weight) for weight in weights]
  for _ in range(3):
    with tf.GradientTape() as tape:
      measures = task.evaluate(plain, batch, None)
      loss = measures['loss_sum'] / measures['weight_sum']
    clipped, _ = tf.clip_by_global_norm(tape.gradient(loss, plain), 0.1)
    for variable, gradient in zip(plain, clipped, strict=True):
      variable.assign_sub(0.5 * tf.convert_to_tensor(gradient))
  for weight, variable, delta in zip(weights, plain, result.delta, strict=True):
    np.testing.assert_allclose(delta, weight - variable, atol=1e-6)


def test_tokens_that_are_gone_become_padding():
  task = language_task.build(_MODEL, 3)
  batch = collections.OrderedDict(tokens=tf.constant([[4, 7, 0, 9]]), client_key=tf.constant([1], tf.int64))
  positions = tf.tensor_scatter_nd_update(tf.zeros([_VOCABULARY], tf.int32), [[4], [9]], [1, 2])
  reindexed = task.reindex(batch, positions)
  np.testing.assert_array_equal(reindexed['tokens'], [[1, 0, 0, 2]])


def test_other_tasks_have_none():
  assert task_lib.Task(_MODEL, collections.OrderedDict(), inputs=functools.partial(dict), measure=dict).reindex is None
