"""The way from a Keras model to this suite: its weights named, its layers as blocks, its call a pure function of weights."""

from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_federated as tff

from models import model as model_lib
from models import weight as weight_lib


def from_keras(build: Callable[[], tf.keras.Model], input_spec: tf.TensorSpec) -> model_lib.Model:
  """Converts a Keras model by TFF's own functional conversion, whose limits apply: no batch normalization, for one.

  Args:
    build: Makes the model: functional or sequential, with trainable weights only. Each layer becomes a block.
    input_spec: Of a batch of its inputs, with a leading `None`.

  Returns:
    A model whose initial weights are those that `build` made, whatever the seed. It is for use inside TFF or a
    `tf.Graph`, and dropout layers in it stay off. Frozen variables save nothing here.
  """
  keras_model = build()
  # The spec of labels and the loss are required, and not used by what is taken from the conversion.
  functional = tff.learning.models.functional_model_from_keras(
    keras_model, tf.keras.losses.MeanSquaredError(), (input_spec, tf.TensorSpec([None]))
  )
  weights = keras_model.trainable_variables

  def apply(by_name: Mapping[str, weight_lib.Value], inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    del seed
    tensors = tuple(tf.convert_to_tensor(weight) for weight in by_name.values())
    return functional.predict_on_batch((tensors, ()), inputs, training=False)

  return model_lib.Model(
    tuple(
      model_lib.Variable(weight.name.split(':')[0], tuple(weight.shape), _constant(value))
      for weight, value in zip(weights, functional.initial_weights[0], strict=True)
    ),
    apply,
  )


def _constant(value) -> model_lib.Initializer:
  return lambda shape, seed: tf.constant(value, shape=shape)
