"""The account of a step agrees with hand arithmetic and with TensorFlow's profiler on the graph that clients run."""

import dataclasses

import pytest
import tensorflow as tf

from models import accounting
from models import adapters
from models import image_task
from models import language_task
from models import lstm
from models import model as model_lib
from models import resnet
from models import task as task_lib
from models import transformer
from models import weight as weight_lib
from tests import tiny_task

_VOCABULARY, _LENGTH, _BATCH = 300, 20, 16
_TINY = transformer.transformer(size='tiny')(_VOCABULARY)
_WIDTH, _MLP, _LAYERS = 128, 512, 2
_PRODUCTS = ('MatMul', 'BatchMatMulV2', 'Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter')


def _task(model, length=_LENGTH):
  return language_task.build(model, length)


def _summed(model):
  """Takes pairs of features and sums the outputs up."""
  linear = tiny_task.linear_task()

  def measure(outputs, batch):
    del batch
    return dict(loss_sum=tf.reduce_sum(outputs), correct_sum=tf.constant(0.0), weight_sum=tf.constant(5.0))

  return task_lib.Task(model, linear.example_spec, linear.inputs, measure)


def _suffix(model):
  return [variable.block in ('block_1', 'head') for variable in model.variables]


def _transformer_flops(trained_blocks, table_trained):
  """Forward and backward operations by the formula: the last blocks are trained, and the table or not."""
  tokens = _BATCH * _LENGTH
  kernels = 2 * tokens * (4 * _WIDTH**2 + 2 * _WIDTH * _MLP)  # Four of attention, two of the MLP.
  attention = 2 * 2 * _BATCH * _LENGTH**2 * _WIDTH  # Scores and mixture, all heads together.
  logits = 2 * tokens * _WIDTH * _VOCABULARY
  forward = _LAYERS * (kernels + attention) + logits
  return forward, 2 * trained_blocks * (kernels + attention) + (2 if table_trained else 1) * logits


def _profiled_flops(task, trained, batch_size=_BATCH):
  """Counts the products and convolutions of the traced gradients by TensorFlow's own account."""
  builder = tf.compat.v1.profiler.ProfileOptionBuilder
  options = builder(builder.float_operation()).with_empty_output().build()
  graph = accounting.trace_step(task, trained, batch_size)
  pending, flops = [tf.compat.v1.profiler.profile(graph, cmd='op', options=options)], 0
  while pending:
    node = pending.pop()
    flops += node.float_ops if node.name in _PRODUCTS else 0
    pending += node.children
  return flops


@pytest.mark.parametrize(
  ('trained', 'trained_blocks', 'table_trained'),
  [pytest.param([True] * len(_TINY.variables), 2, True, id='all'), pytest.param(_suffix(_TINY), 1, False, id='suffix')],
)
def test_agrees_with_the_formula_and_with_the_profiler(trained, trained_blocks, table_trained):
  cost = accounting.step_cost(_task(_TINY), trained, _BATCH)
  formula = _transformer_flops(trained_blocks, table_trained)
  assert (cost.forward_flops, cost.backward_flops) == formula
  assert sum(formula) == _profiled_flops(_task(_TINY), trained)


@pytest.mark.parametrize(
  ('holds', 'needless_attention_products'),
  [
    pytest.param(lambda variable: variable.block == 'head', 0, id='head'),
    pytest.param(lambda variable: variable.is_additive, 0, id='bias'),
    pytest.param(lambda variable: variable.block == 'embedding', 0, id='table'),
    # In the first block TensorFlow forms the gradients of values and queries too, which nothing needs.
    pytest.param(lambda variable: variable.name.endswith('key_kernel'), 2, id='keys'),
    pytest.param(lambda variable: False, 0, id='nothing'),
  ],
)
def test_agrees_with_the_profiler_whatever_is_trained(holds, needless_attention_products):
  trained = [holds(variable) for variable in _TINY.variables]
  cost = accounting.step_cost(_task(_TINY), trained, _BATCH)
  needless = needless_attention_products * 2 * _BATCH * _LENGTH**2 * _WIDTH
  assert cost.forward_flops + cost.backward_flops + needless == _profiled_flops(_task(_TINY), trained)


def test_agrees_with_the_profiler_on_adapters():
  plain = transformer.transformer(size='tiny', num_layers=1)(_VOCABULARY)
  for model in (adapters.with_lora(plain, 8, 8.0), adapters.with_adapters(plain, 16)):
    trained = [variable not in plain.variables for variable in model.variables]
    cost = accounting.step_cost(_task(model), trained, _BATCH)
    assert cost.forward_flops + cost.backward_flops == _profiled_flops(_task(model), trained)


def test_what_is_drawn_costs_its_share_of_weight_gradients_and_all_else():
  everything = accounting.step_cost(_task(_TINY), [True] * len(_TINY.variables), _BATCH)
  drawn = accounting.step_cost(_task(_TINY), [0.25] * len(_TINY.variables), _BATCH)
  tokens = _BATCH * _LENGTH
  kernels = _LAYERS * (4 * _WIDTH**2 + 2 * _WIDTH * _MLP) + _WIDTH * _VOCABULARY
  assert everything.backward_flops - drawn.backward_flops == 0.75 * 2 * tokens * kernels
  assert drawn.gradient_bytes == 0.25 * everything.gradient_bytes
  assert drawn.activation_bytes == everything.activation_bytes


def test_transformer_memory():
  everything = accounting.step_cost(_task(_TINY), [True] * len(_TINY.variables), _BATCH)
  suffix = accounting.step_cost(_task(_TINY), _suffix(_TINY), _BATCH)
  assert everything.weight_bytes == 4 * _TINY.num_parameters
  assert everything.gradient_bytes == everything.weight_bytes
  assert suffix.gradient_bytes == 4 * sum(v.size for v in _TINY.variables if v.block in ('block_1', 'head'))
  nothing = accounting.step_cost(_task(_TINY), [False] * len(_TINY.variables), _BATCH)
  assert (nothing.backward_flops, nothing.gradient_bytes, nothing.activation_bytes) == (0.0, 0.0, 0)
  largest = 4 * _BATCH * _LENGTH * max(_VOCABULARY, _MLP)  # The logits, or the hidden layer of a block.
  assert everything.workspace_bytes == 4 * largest
  parts = everything.weight_bytes + 2 * everything.gradient_bytes + everything.activation_bytes + 4 * largest
  assert everything.peak_bytes == parts


def test_a_block_keeps_what_its_derivatives_need():
  one, two = (
    accounting.step_cost(_task(model), [True] * len(model.variables), _BATCH).activation_bytes
    for model in (transformer.transformer(size='tiny', num_layers=layers)(_VOCABULARY) for layers in (1, 2))
  )
  # Of each normalization its input, also without the mean, normalized, and its output, with two numbers a position;
  # query, key, value, attention weights and the mixture; the MLP's hidden layer.
  values_per_token = 2 * (4 * _WIDTH + 2) + 4 * _WIDTH + 4 * _LENGTH + _MLP
  assert (two - one) / (4 * _BATCH * _LENGTH * values_per_token) == pytest.approx(1.0, abs=0.02)


def test_a_product_keeps_its_input_for_a_trained_kernel_only():
  # y = relu(x A) B: the gradient of B needs relu(x A), and so does that of A, through the derivative of relu.
  def apply(weights, x, seed):
    del seed
    first, second = (weight_lib.of(weights[name]) for name in ('a/kernel', 'b/kernel'))
    return second.product(tf.nn.relu(first.product(x)))

  variables = (
    model_lib.Variable('a/kernel', (2, 7), model_lib.zeros), model_lib.Variable('b/kernel', (7, 1), model_lib.zeros)
  )  # fmt: skip
  task = _summed(model_lib.Model(variables, apply))
  for trained, kept in (([True, True], 7), ([False, True], 7), ([True, False], 7), ([False, False], 0)):
    activations = accounting.step_cost(task, trained, batch_size=5).activation_bytes
    assert activations // (4 * 5) == kept  # Beside the loss, less than a row.


@pytest.mark.parametrize(
  ('blocks', 'backward'),
  [
    # 8 images of 6 x 6 pixels: 6 * 6 * 9 * 3 * 4 = 3,888 multiplications an image in the stem; 6 * 6 * 9 * 4 * 4 = 5,184 in each
    # of two of the first block; 3 * 3 * 9 * 4 * 8 = 2,592 and 3 * 3 * 9 * 8 * 8 = 5,184 in the second; 8 * 5 = 40 for classes.
    # Nothing needs the gradient of the images.
    pytest.param(
      ('embedding', 'block_0', 'block_1', 'head'), 2 * (3_888 + 2 * 5_184 + 2_592 + 5_184 + 40) - 3_888, id='all'
    ),
    pytest.param(('block_1', 'head'), 2 * (2_592 + 5_184 + 40) - 2_592, id='suffix'),
    pytest.param(('head',), 40, id='head'),
  ],
)
def test_agrees_with_hand_arithmetic_and_the_profiler(blocks, backward):
  network = resnet.resnet(width=4, num_layers=2, blocks_per_group=1)
  task = image_task.build(network.classifier((6, 6, 3), 5), (6, 6, 3))
  trained = [variable.block in blocks for variable in task.model.variables]
  cost = accounting.step_cost(task, trained, batch_size=8)
  forward = 3_888 + 2 * 5_184 + 2_592 + 5_184 + 40
  assert (cost.forward_flops, cost.backward_flops) == (2 * 8 * forward, 2 * 8 * backward)
  assert 2 * 8 * (forward + backward) == _profiled_flops(task, trained, 8)


@pytest.mark.parametrize(
  ('trained', 'kept'),
  [
    # Beside images of 6 x 6, which are no activations: relu(x * A) for the gradient of B and, as its derivative, for that of A.
    pytest.param([True, True], 36 * 4, id='both'),
    pytest.param([True, False], 36 * 4, id='first'),
    pytest.param([False, True], 36 * 4, id='second'),
    pytest.param([False, False], 0, id='none'),
  ],
)
def test_a_convolution_keeps_its_input_for_a_trained_kernel_only(trained, kept):
  def apply(weights, x, seed):
    del seed
    first, second = (weight_lib.of(weights[name]) for name in ('a/kernel', 'b/kernel'))
    return second.convolution(tf.nn.relu(first.convolution(x)), stride=2)

  variables = (
    model_lib.Variable('a/kernel', (3, 3, 3, 4), model_lib.zeros),
    model_lib.Variable('b/kernel', (3, 3, 4, 8), model_lib.zeros),
  )
  spec = dict(image=tf.TensorSpec([6, 6, 3]))
  summed = _summed(model_lib.Model(variables, apply))
  task = dataclasses.replace(summed, example_spec=spec, inputs=lambda batch: batch['image'])
  cost = accounting.step_cost(task, trained, batch_size=5)
  assert cost.activation_bytes // (4 * 5) == kept  # Beside the loss, less than a number an image.
  forward = 36 * 9 * 3 * 4, 9 * 9 * 4 * 8
  assert cost.forward_flops == 2 * 5 * sum(forward)
  backward = trained[0] * (forward[0] + forward[1]) + trained[1] * forward[1]
  assert cost.backward_flops == 2 * 5 * backward


def test_lstm_counts_every_step():
  width, cells, batch, length, vocabulary = 6, 5, 3, 4, 17
  model = lstm.lstm(width=width, num_cells=cells)(vocabulary)
  everything = accounting.step_cost(_task(model, length), [True] * len(model.variables), batch)
  tokens = batch * length
  recurrent, projection = 2 * tokens * width * 3 * cells, 2 * tokens * cells * width
  forward = 2 * recurrent + projection + 2 * tokens * width * vocabulary
  to_start = recurrent // length  # Nothing goes back to what the first step got.
  assert (everything.forward_flops, everything.backward_flops) == (forward, 2 * forward - to_start)
  only = [variable.name == 'block_0/projection_kernel' for variable in model.variables]
  # Back through the logits, and from step to step through both products; before the first one nothing is trained.
  partial = accounting.step_cost(_task(model, length), only, batch).backward_flops
  assert partial == 2 * tokens * width * vocabulary + (recurrent + projection) * (length - 1) // length + projection
  assert accounting.step_cost(_task(model, length), only, batch).forward_flops == forward


def test_lstm_keeps_what_the_loop_keeps_of_every_turn():
  model = lstm.lstm(width=6, num_cells=50)(17)
  trained = [True] * len(model.variables)
  short, long = (accounting.step_cost(_task(model, length), trained, 3).activation_bytes for length in (4, 8))
  # At least both gates, the candidate, the cell before, and its tanh: 5 of 50 cells, for 3 examples and each turn.
  assert long - short >= 4 * 3 * 4 * 5 * 50
  assert long - short < 4 * 3 * 4 * 12 * 50
  unrolled, looped = (accounting.step_cost(_task(model, length), trained, 3).activation_bytes for length in (64, 65))
  # One more turn of the same, and not a transposed kernel of 6 x 150 and 50 x 6 values for each of 65 turns.
  assert looped - unrolled < 4 * 3 * 12 * 50 + 0.1 * unrolled < 4 * 65 * (900 + 300)


def test_lstm_refuses_a_loop_of_unknown_length():
  def apply(weights, x, seed):
    del seed
    steps = tf.cast(tf.reduce_sum(x), tf.int32)
    weight = tf.convert_to_tensor(weights['a/kernel'])
    return tf.while_loop(lambda i, y: i < steps, lambda i, y: (i + 1, tf.matmul(y, weight)), (0, x))[1]

  task = _summed(model_lib.Model((model_lib.Variable('a/kernel', (2, 2), model_lib.zeros),), apply))
  with pytest.raises(ValueError, match='no length that is known'):
    accounting.step_cost(task, [True], 3)
