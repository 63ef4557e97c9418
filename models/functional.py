"""The way from a task to TFF's own algorithms: the same model as a `tff.learning.models.FunctionalModel`."""

import collections

import tensorflow as tf
import tensorflow_federated as tff

from models import task as task_lib


def functional_model(task: task_lib.Task, seed: int) -> tff.learning.models.FunctionalModel:
  """Converts a task, for use with stock TFF such as `tff.learning.algorithms.build_weighted_fed_avg`.

  Args:
    task: The task.
    seed: Decides the initial weights, as in `Model.initial_weights`.

  Returns:
    A model over `(batch, batch)` pairs, where a batch holds the task's tensors with a leading axis: map client data
    with `lambda batch: (batch, batch)`. It never drops out.

  Raises:
    ValueError: For a task with a target, which TFF's own algorithms do not move.
  """
  if task.target_momentum is not None:
    raise ValueError("stock TFF cannot train a task with a target: use one of this suite's algorithms")
  batch_spec = collections.OrderedDict(
    (name, tf.TensorSpec([None, *spec.shape], spec.dtype)) for name, spec in task.example_spec.items()
  )

  @tf.function(autograph=False)
  def predict(model_weights, batch, training):
    del training
    return task.model.apply(task.model.by_name(model_weights[0]), task.inputs(batch), None)

  @tf.function(autograph=False)
  def loss(output, label, sample_weight=None):
    del sample_weight
    measures = task.measure(output, label)
    return tf.math.divide_no_nan(measures['loss_sum'], measures['weight_sum'])

  return tff.learning.models.FunctionalModel(
    initial_weights=(tuple(weight.numpy() for weight in task.model.initial_weights(seed)), ()),
    predict_on_batch_fn=predict,
    loss_fn=loss,
    input_spec=(batch_spec, batch_spec),
  )
