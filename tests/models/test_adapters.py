"""Adapted models start as the model, compute their formulas, and train their parts like any other variable."""

import numpy as np
import pytest
import tensorflow as tf

from models import adapters
from models import gradients as gradients_lib
from models import language_task
from models import lstm
from models import resnet
from models import transformer
from models import weight as weight_lib

_TRANSFORMER = transformer.transformer(width=8, mlp_width=10, num_layers=2, num_heads=2)(17)
_LSTM = lstm.lstm(width=6, num_cells=5)(17)
_TOKENS = np.random.default_rng(4).integers(0, 17, [3, 5]).astype(np.int32)

_EVERYTHING = r'kernel$|embedding/table$'
_ADAPTED = (
  pytest.param(adapters.with_lora(_TRANSFORMER, rank=2, alpha=4.0), id='transformer_lora'),
  pytest.param(adapters.with_adapters(_TRANSFORMER, width=3), id='transformer_adapters'),
  pytest.param(adapters.with_lora(_LSTM, rank=2, alpha=4.0), id='lstm_lora'),
  pytest.param(adapters.with_adapters(_LSTM, width=3), id='lstm_adapters'),
  pytest.param(adapters.with_lora(_TRANSFORMER, rank=2, alpha=4.0, on=_EVERYTHING), id='transformer_lora_on_the_table'),
  pytest.param(
    adapters.with_adapters(adapters.with_lora(_LSTM, rank=2, alpha=4.0), width=3), id='lstm_lora_behind_adapters'
  ),
)


def _weights(model, seed=3):
  rng = np.random.default_rng(seed)
  return tuple(tf.constant(rng.normal(0.0, 0.4, variable.shape), tf.float32) for variable in model.variables)


def _named(*tensors):
  return tuple(tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32) for shape in tensors)


def _plain(task, weights, batch):
  with tf.GradientTape() as tape:
    tape.watch(weights)
    measures = task.evaluate(weights, batch)
    loss = measures['loss_sum'] / measures['weight_sum']
  return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]


def test_lora_adds_a_scaled_low_rank_product():
  x, kernel, a, b = _named([4, 5], [5, 3], [5, 2], [2, 3])
  weight = adapters.LowRank(0.5, kernel, a, b)
  merged = kernel.numpy() + 0.5 * a.numpy() @ b.numpy()
  np.testing.assert_allclose(weight.product(x), x @ merged, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(weight.loop_product(x), x @ merged, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(tf.matmul(x, weight), x @ merged, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(weight.rows(tf.constant([[4, 0]])), merged[[[4, 0]]], rtol=1e-4, atol=1e-5)
  y = tf.ones([2, 3])
  np.testing.assert_allclose(weight.transposed_product(y), y @ merged.T, rtol=1e-4, atol=1e-5)


def test_an_adapter_adds_a_bottleneck_of_the_output():
  x, kernel, down, up = _named([4, 5], [5, 3], [3, 2], [2, 3])
  output = x.numpy() @ kernel.numpy()
  expected = output + np.maximum(output @ down.numpy(), 0.0) @ up.numpy()
  np.testing.assert_allclose(adapters.Bottleneck(kernel, down, up).product(x), expected, rtol=1e-4, atol=1e-5)


def test_an_adapter_is_no_matrix():
  weight = adapters.Bottleneck(*_named([5, 3], [3, 2], [2, 3]))
  assert weight.shape == [5, 3]
  with pytest.raises(TypeError, match='has no tensor'):
    weight.rows(tf.constant([0]))


@pytest.mark.parametrize('model', _ADAPTED)
def test_model_starts_as_the_model(model):
  base = _TRANSFORMER if any('attention' in variable.name for variable in model.variables) else _LSTM
  assert model.variables[: len(base.variables)] == base.variables
  weights, own = model.initial_weights(5), base.initial_weights(5)
  for adapted, weight in zip(weights, own, strict=False):
    np.testing.assert_array_equal(adapted, weight)
  outputs, expected = (m.apply(m.by_name(w), _TOKENS, None) for m, w in ((model, weights), (base, own)))
  np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize('model', _ADAPTED)
def test_new_variables_come_last_and_belong_to_the_block_of_their_kernel(model):
  names = [variable.name for variable in model.variables]
  new = [index for index, name in enumerate(names) if '_lora_' in name or '_adapter_' in name]
  assert new == list(range(new[0], len(names)))
  for index in new:
    kernel = names[index].rsplit('_lora_')[0].rsplit('_adapter_')[0]
    assert kernel in names
    assert model.variables[index].block == kernel.split('/')[0]


@pytest.mark.parametrize('model', _ADAPTED)
def test_gradients_equal_a_plain_tape(model):
  task, weights = language_task.build(model, 4), _weights(model)
  batch = dict(tokens=tf.constant(_TOKENS), client_key=tf.zeros([3], tf.int64))
  expected = _plain(task, weights, batch)
  new = ['_lora_' in variable.name or '_adapter_' in variable.name for variable in model.variables]
  flags = [tf.constant(index % 2 == 0) for index in range(len(weights))]

  @tf.function(autograph=False)
  def step(trained):
    return [gradients_lib.gradients(task, weights, flags, batch, None)[1] for flags in (new, tf.unstack(trained))]

  for pattern, gradients in zip((new, flags), step(tf.stack(flags)), strict=True):
    for gradient, full, flag in zip(gradients, expected, pattern, strict=True):
      if flag:
        np.testing.assert_allclose(gradient, full, rtol=1e-3, atol=2e-5)
      else:
        assert gradient is None or gradient.shape == (0,)


@pytest.mark.parametrize('base', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_lora_equals_the_model_with_merged_kernels(base):
  model = adapters.with_lora(base, rank=2, alpha=3.0)
  weights = model.by_name(_weights(model))
  merged = {variable.name: weights[variable.name] for variable in base.variables}
  for name in merged:
    if name.endswith('kernel'):
      merged[name] += 1.5 * tf.matmul(weights[f'{name}_lora_a'], weights[f'{name}_lora_b'])
  outputs, expected = model.apply(weights, _TOKENS, None), base.apply(merged, _TOKENS, None)
  np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('base', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_fewer_ranks_run_at_the_same_scale(base):
  model = adapters.with_lora(base, rank=3, alpha=6.0)
  full, fewer = {}, {}
  for variable, weight in zip(model.variables, _weights(model), strict=True):
    if variable.units and variable.units.axis == 'rank':
      fewer[variable.name] = tf.gather(weight, [0, 2], axis=variable.units.position)
      kept = tf.one_hot(0, 3) + tf.one_hot(2, 3)
      full[variable.name] = weight * (kept if variable.units.position == 1 else kept[:, tf.newaxis])
    else:
      full[variable.name] = fewer[variable.name] = weight
  outputs, expected = (model.apply(weights, tf.constant(_TOKENS), None) for weights in (fewer, full))
  np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_names_the_kernels_it_is_put_on():
  model = adapters.with_lora(_LSTM, rank=1, alpha=1.0, on='^block_0/input')
  assert [(variable.name, variable.shape) for variable in model.variables[len(_LSTM.variables) :]] == [
    ('block_0/input_kernel_lora_a', (6, 1)),
    ('block_0/input_kernel_lora_b', (1, 15)),
  ]
  model = adapters.with_adapters(_TRANSFORMER, width=2)
  assert [variable.name for variable in model.variables if variable.name.endswith('_adapter_up')] == [
    f'block_{i}/{name}_kernel_adapter_up' for i in range(2) for name in ('attention/output', 'mlp/down')
  ]


@pytest.mark.parametrize(
  ('extend', 'arguments', 'message'),
  [
    pytest.param(adapters.with_lora, dict(rank=0, alpha=1.0), 'rank must be', id='rank_zero'),
    pytest.param(adapters.with_lora, dict(rank=1, alpha=0.0), 'alpha must be', id='alpha_zero'),
    pytest.param(adapters.with_lora, dict(rank=1, alpha=float('nan')), 'alpha must be', id='alpha_not_a_number'),
    pytest.param(adapters.with_adapters, dict(width=0), 'width must be', id='width_zero'),
    pytest.param(adapters.with_adapters, dict(width=1, on='conv'), 'matches no two-dimensional', id='no_match'),
    pytest.param(
      adapters.with_lora, dict(rank=1, alpha=1.0, on='bias$'), 'matches no two-dimensional', id='only_vectors'
    ),
    pytest.param(adapters.with_lora, dict(rank=1, alpha=1.0, on='('), 'not a regular expression', id='no_expression'),
  ],
)
def test_model_refuses(extend, arguments, message):
  with pytest.raises(ValueError, match=message):
    extend(_TRANSFORMER, **arguments)


def test_model_refuses_convolutions_unless_others_are_named():
  network = resnet.resnet(width=4, num_layers=1).classifier((8, 8, 1), 3)
  with pytest.raises(ValueError, match='embedding/kernel, the kernel of a convolution'):
    adapters.with_lora(network, rank=1, alpha=1.0)
  extended = adapters.with_lora(network, rank=1, alpha=1.0, on='^head/')
  assert len(extended.variables) == len(network.variables) + 2


def test_model_refuses_the_same_addition_twice():
  with pytest.raises(ValueError, match='already has'):
    adapters.with_lora(adapters.with_lora(_LSTM, rank=1, alpha=1.0), rank=1, alpha=1.0)


@pytest.mark.parametrize(
  ('base', 'shape'), [pytest.param(_TRANSFORMER, (8, 10), id='transformer'), pytest.param(_LSTM, (6, 15), id='lstm')]
)
def test_a_frozen_kernel_has_no_weight_gradient(base, shape):
  model = adapters.with_lora(base, rank=2, alpha=4.0)
  task = language_task.build(model, 4)
  batch = dict(tokens=tf.constant(_TOKENS), client_key=tf.zeros([3], tf.int64))

  def count(trained):
    step = tf.function(lambda weights: gradients_lib.gradients(task, weights, trained, batch, None)[1], autograph=False)
    definition = step.get_concrete_function(_weights(model)).graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    shapes = [
      [dim.size for dim in node.attr['_output_shapes'].list.shape[0].dim] for node in nodes if node.op == 'MatMul'
    ]
    return shapes.count(list(shape))

  assert count(['_lora_' in variable.name for variable in model.variables]) == 0
  assert count([True] * len(model.variables)) > 0


def test_a_tapped_part_records_uses_of_its_own_shape():
  x, kernel, a, b = _named([4, 5], [5, 3], [5, 2], [2, 3])
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tapped = [weight_lib.FrozenWeight(kernel), weight_lib.Tapped(a, tape), weight_lib.Tapped(b, tape)]
    adapters.LowRank(0.5, *tapped).product(x)
  assert [output.shape for weight in tapped[1:] for output, _ in weight.uses] == [[4, 2], [4, 3]]
