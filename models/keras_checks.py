"""What a Keras model does besides being a function of its weights, which would be lost on the way: all of it is refused."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib

import numpy as np
import tensorflow as tf

_RATES = ('rate', 'dropout', 'recurrent_dropout', 'stddev')
_PROBE_SIZE = 3  # Of the axes whose size the specification leaves open.
_NOT_HERE = 'leave it out, or write the model as those in models/'


def check_layers(model: tf.keras.Model) -> None:
  """Raises ValueError, with one line that names the layer, for layers with a state, with noise, or with more to train for.

  Args:
    model: With its weights, built eagerly.
  """
  for layer in model._flatten_layers(include_self=False):  # `submodules` runs properties, of which some raise.
    if layer.compute_dtype != layer.variable_dtype:
      raise ValueError(f'{layer.name} computes in {layer.compute_dtype}, and models here in float32: build it in that')
    if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.trainable:
      raise ValueError(f'{layer.name} keeps moving statistics, which have no mean over clients: use GroupNormalization')
    if layer.stateful:
      raise ValueError(f'{layer.name} is stateful, and clients share no state between batches: build it without')
    if _is_random(layer):
      raise ValueError(f'{layer.name} is random while training, which its seed would not govern: {_NOT_HERE}')
    if getattr(layer, 'activity_regularizer', None) is not None:
      raise ValueError(f'{layer.name} has an activity regularizer, which is no part of the loss here: {_NOT_HERE}')
  if model.losses:
    raise ValueError(
      'the Keras model has losses of its own (regularizers, add_loss), no part of the loss here: leave them out'
    )
  for variable in model.weights:
    if variable.constraint is not None:
      raise ValueError(f'{variable.name} has a constraint, which no optimizer here keeps: leave it out')
    if variable.dtype != tf.float32:
      raise ValueError(f'{variable.name} is {variable.dtype.name}, and weights here are float32: build it in that')


def check_call(call: Callable[[tf.Tensor, bool], tf.Tensor], input_spec: tf.TensorSpec) -> None:
  """Raises ValueError unless a model gives the same each time, and while training what it gives in evaluation.

  Args:
    call: From inputs, and whether the model trains, to outputs.
    input_spec: Shape and dtype of a batch of inputs.
  """
  shape = [_PROBE_SIZE if size is None else size for size in input_spec.shape]
  values = np.ones(shape) if input_spec.dtype.is_integer else np.random.default_rng(0).normal(size=shape)
  with tf.Graph().as_default() as graph:
    inputs = tf.constant(values, input_spec.dtype)
    with refusing('cannot be run with tensors for weights', _NOT_HERE):
      outputs = [call(inputs, training) for training in (False, True)]
  with tf.compat.v1.Session(graph=graph) as session:
    (evaluated, trained), (again, _) = (session.run(outputs) for _ in range(2))
  for other in (again, trained):
    if not np.allclose(evaluated, other, rtol=1e-4, atol=1e-5, equal_nan=True):
      raise ValueError(
        f'the Keras model gives other outputs while training, or each time: it has a random layer; {_NOT_HERE}'
      )


@contextlib.contextmanager
def refusing(fault: str, remedy: str) -> Iterator[None]:
  """Turns whatever the layers of a Keras model raise, which may be anything, into a `ValueError` with one line."""
  try:
    yield
  except Exception as error:
    reason = ' '.join(str(error).split())[:160]
    raise ValueError(f'the Keras model {fault} ({reason}): {remedy}') from error


def _is_random(layer: tf.keras.layers.Layer) -> bool:
  if not isinstance(layer, tf.keras.__internal__.layers.BaseRandomLayer):
    return False
  rates = [getattr(layer, name) for name in _RATES if hasattr(layer, name)]
  return not rates or any(rates)
