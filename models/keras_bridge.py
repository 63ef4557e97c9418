"""The way from a Keras model to this suite: its weights named, its layers as blocks, its call a pure function of weights.

Whatever the function would leave out, such as dropout or moving statistics, is refused: see `models.keras_checks`.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from models import keras_checks
from models import keras_initial_values
from models import model as model_lib
from models import weight as weight_lib

EMBEDDING, HEAD = 'embedding', 'head'
_RENAMED = {'beta': 'bias', 'gamma': 'scale'}  # What a normalization adds is additive, whatever Keras calls it.


@dataclasses.dataclass(frozen=True)
class _Created:
  """A variable that a model has created.

  Attributes:
    variable: A variable of Keras.
    initial_value: From which it was created.
    drawn: The value then.
  """

  variable: tf.Variable
  initial_value: Any
  drawn: np.ndarray | None


def from_keras(
  build: Callable[[], tf.keras.Model], input_spec: tf.TensorSpec, blocks: Mapping[str, str] | None = None
) -> model_lib.Model:
  """Converts a Keras model.

  Its random initial weights are drawn again from the seed of a run, from the same distributions; others are what they
  are. A variable of a layer with `trainable=False` is a constant of the model, which nobody trains or sends.

  Args:
    build: Makes the model, the same one whenever it is called: functional, or sequential with an input shape.
    input_spec: Shape and dtype of a batch of its inputs, with a leading `None`.
    blocks: From the name of each layer of the model that has weights to the block that it belongs to: `embedding`,
      `block_0`, `block_1` and so on, or `head`. By default the last such layer is the head, `Embedding` layers are the
      embedding, and each of the others is a block.

  Returns:
    The model. Each call builds that of Keras anew: put calls into a `tf.function`. Frozen variables save nothing here.

  Raises:
    ValueError: With one line, for a model that is more than a function of weights, or blocks that are not those of it.
  """
  # Twice, to tell what is drawn from what is given; and in a graph, where names do not depend on models built before.
  (model, created), (other, again) = _built_eagerly(build), _built_eagerly(build)
  keras_checks.check_layers(model)
  created, again = _of_model(model, created), _of_model(other, again)
  names, is_trained = _names(build, blocks)
  if not len(created) == len(again) == len(names):
    raise ValueError('the Keras model has other weights each time that it is built: build the same one')
  initializers = [_initializer(*each) for each in zip(created, again, names, strict=True)]
  constants = {
    index: _value(created[index], names[index], initializers[index])
    for index in range(len(names))
    if not is_trained[index]
  }
  trained = [index for index in range(len(names)) if index not in constants]
  shapes = [tuple(each.variable.shape) for each in created]

  def call(weights: Sequence[tf.Tensor], inputs: tf.Tensor, training: bool) -> tf.Tensor:
    tensors = {index: tf.constant(value) for index, value in constants.items()}
    return _called(build, tensors | dict(zip(trained, weights, strict=True)), inputs, training)

  def apply(by_name: Mapping[str, weight_lib.Value], inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    del seed
    return call([tf.convert_to_tensor(by_name[names[index]]) for index in trained], inputs, training=False)

  generator = np.random.default_rng(0)
  probes = [generator.normal(0.0, 0.3, shapes[index]).astype(np.float32) for index in trained]
  keras_checks.check_call(lambda inputs, training: call(list(map(tf.constant, probes)), inputs, training), input_spec)
  variables = tuple(model_lib.Variable(names[index], shapes[index], initializers[index]) for index in trained)
  return model_lib.Model(variables, apply, needs_tensors=True)


def _built_eagerly(build: Callable[[], tf.keras.Model]) -> tuple[tf.keras.Model, list[_Created]]:
  """Returns a model and its variables, in the order in which they were created."""
  created: list[_Created] = []

  def create(next_creator: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    variable = next_creator(**options)
    created.append(_Created(variable, options.get('initial_value'), variable.numpy()))
    return variable

  with tf.init_scope(), tf.variable_creator_scope(create):
    model = build()
  if not model.built:
    raise ValueError('the Keras model has no weights yet: make it sequential with an input shape, or functional')
  return model, created


def _of_model(model: tf.keras.Model, created: Sequence[_Created]) -> list[_Created]:
  """Leaves out what layers keep besides weights; raises `ValueError` for weights that were there before."""
  if not model.trainable_weights:
    raise ValueError('the Keras model has no weights to train: add a layer that has some')
  made = {id(each.variable) for each in created}
  if before := [variable.name for variable in model.weights if id(variable) not in made]:
    raise ValueError(f'the Keras model uses {before[0]}, made outside of build: make each of its layers within build')
  weights = {id(variable) for variable in model.weights}
  return [each for each in created if id(each.variable) in weights]


def _names(build: Callable[[], tf.keras.Model], blocks: Mapping[str, str] | None) -> tuple[list[str], list[bool]]:
  """Returns the names of variables in the order of their creation, and whether each is trained."""
  created: list[_Created] = []

  def create(next_creator: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    created.append(_Created(next_creator(**options), options.get('initial_value'), None))
    return created[-1].variable

  with tf.Graph().as_default(), tf.variable_creator_scope(create):
    with keras_checks.refusing('cannot be built in a graph', 'make whatever it uses within build'):
      model = build()
    block_of = _blocks(model) if blocks is None else _given_blocks(model, blocks)
  layer_of = {id(weight): layer.name for layer in reversed(model.layers) for weight in layer.weights}
  if outside := [each.variable.name for each in created if id(each.variable) not in layer_of]:
    raise ValueError(
      f'the Keras model creates {outside[0]}, which is no weight of one of its layers: put it into a layer'
    )
  trained = {id(variable) for variable in model.trainable_weights}
  names = []
  for each in created:
    *scope, last = each.variable.name.split(':')[0].split('/')
    names.append('/'.join([block_of[layer_of[id(each.variable)]], *scope, _RENAMED.get(last, last)]))
  return names, [id(each.variable) in trained for each in created]


def _blocks(model: tf.keras.Model) -> dict[str, str]:
  """Returns the block of each layer that has weights."""
  *inner, last = [layer for layer in model.layers if layer.weights]
  block_of, count = {last.name: HEAD}, 0
  for layer in inner:
    is_embedding = isinstance(layer, tf.keras.layers.Embedding)
    block_of[layer.name] = EMBEDDING if is_embedding else f'block_{count}'
    count += not is_embedding
  return block_of


def _given_blocks(model: tf.keras.Model, blocks: Mapping[str, str]) -> dict[str, str]:
  """Returns `blocks`; raises `ValueError` unless they are those of each layer that has weights."""
  layers = [layer.name for layer in model.layers if layer.weights]
  if missing := [name for name in layers if name not in blocks]:
    raise ValueError(f'blocks does not name the layer {missing[0]}: name {", ".join(layers)}')
  if surplus := [name for name in blocks if name not in layers]:
    raise ValueError(f'blocks names {surplus[0]}, which is no layer with weights: name {", ".join(layers)}')
  found = set(blocks.values())
  numbered = {f'block_{index}' for index in range(len(found - {EMBEDDING, HEAD}))}
  if HEAD not in found or found - {EMBEDDING, HEAD} != numbered:
    raise ValueError(
      f'blocks has {", ".join(sorted(found))}: there must be head, and may be embedding, block_0, block_1 ...'
    )
  return dict(blocks)


def _initializer(created: _Created, again: _Created, name: str) -> model_lib.Initializer:
  """Returns what gives a variable its initial value: drawn from a seed, or always the one that it has."""
  value, other = created.variable.numpy(), again.variable.numpy()
  if not np.array_equal(value, created.drawn, equal_nan=True):
    raise ValueError(f'{name} is set after it was created: give it by tf.keras.initializers.Constant instead')
  initializer = keras_initial_values.redrawn(created.initial_value)
  if initializer is not None:
    return initializer
  if value.shape != other.shape or not np.array_equal(value, other, equal_nan=True):
    raise ValueError(f'{name} begins as something else each time: use a random initializer of tf.keras.initializers')
  return _Constant(value)


@dataclasses.dataclass(frozen=True)
class _Constant:
  """An initializer that gives a value of its own."""

  value: np.ndarray

  def __call__(self, shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    del seed
    return tf.constant(self.value, shape=shape)


def _value(created: _Created, name: str, initializer: model_lib.Initializer) -> np.ndarray:
  """Returns the value of a variable that is not trained."""
  if not isinstance(initializer, _Constant):
    raise ValueError(
      f'{name} has trainable=False and is drawn at random: give it by tf.keras.initializers.Constant, or choose a policy'
    )
  return created.variable.numpy()


def _called(
  build: Callable[[], tf.keras.Model], tensors: Mapping[int, tf.Tensor], inputs: tf.Tensor, training: bool
) -> tf.Tensor:
  """Builds the model with tensors in place of the variables, which it creates in their order, and calls it."""

  def run(inputs: tf.Tensor, *values: tf.Tensor) -> tf.Tensor:
    remaining = [values[list(tensors).index(index)] for index in sorted(tensors)]
    with tf.variable_creator_scope(lambda _, **options: remaining.pop(0)):
      model = build()
    if remaining:
      raise ValueError('the Keras model has fewer weights when it is built in a graph: build the same one')
    return model(inputs, training=training)

  arguments = [tf.convert_to_tensor(inputs), *tensors.values()]
  # In a graph, since Keras lifts what it creates out of functions where there is an eager context outside.
  with tf.Graph().as_default():
    specs = [tf.TensorSpec.from_tensor(argument) for argument in arguments]
    function = tf.function(run, autograph=False).get_concrete_function(*specs)
  return function(*arguments)
