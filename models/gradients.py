"""Gradients of the variables that a client trains; the others cost no weight gradient."""

from collections.abc import Sequence
import functools

import tensorflow as tf

from models import model as model_lib
from models import task as task_lib
from models import weight as weight_lib

TrainedFlags = Sequence[bool | tf.Tensor]  # For each variable: known while tracing, or a scalar bool tensor.
Gradients = tuple[tf.Tensor | None, ...]


def gradients(
  task: task_lib.Task,
  weights: model_lib.Weights,
  trained: TrainedFlags,
  batch: task_lib.Batch,
  seed: tf.Tensor | None,
  target: model_lib.Weights | None = None,
) -> tuple[task_lib.Measures, Gradients]:
  """Differentiates the loss on a batch, loss_sum / weight_sum, with respect to the trained variables.

  Nothing is kept for the backward pass of the layers below the first variable whose `trained` is not False.

  Args:
    task: What is trained.
    weights: In the order of the model's variables.
    trained: Which of them are trained, in the same order.
    batch: Tensors of the task's `example_spec` with a leading batch axis.
    seed: int64[2] for dropout, or None.
    target: See `Task.evaluate`.

  Returns:
    The batch's measures, and for each variable: None where `trained` is False; its dense gradient where it is True;
    where it is a tensor, the dense gradient if that is true and float32 [0] if not, so the static shape is unknown.
  """
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    taps = [_tapped(weight, flag, tape, task.precision) for weight, flag in zip(weights, trained, strict=True)]
    used = [
      _used(variable, weight, tapped, task.precision)
      for variable, weight, tapped in zip(task.model.variables, weights, taps, strict=True)
    ]
    measures = task.evaluate(used, batch, seed, target)
    loss = tf.math.divide_no_nan(measures['loss_sum'], measures['weight_sum'])
  outputs = [[] if tapped is None else [output for output, _ in tapped.uses] for tapped in taps]
  d_outputs = tape.gradient(loss, outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)
  return measures, tuple(
    None if tapped is None else _gradient(tapped, flag, [tf.convert_to_tensor(d) for d in d_uses])
    for tapped, flag, d_uses in zip(taps, trained, d_outputs, strict=True)
  )


def _tapped(
  weight: tf.Tensor, flag: bool | tf.Tensor, tape: tf.GradientTape, precision: str
) -> weight_lib.Tapped | None:
  if tf.is_tensor(flag) or flag:
    return weight_lib.Tapped(weight, tape, precision)
  return None


def _used(
  variable: model_lib.Variable, weight: tf.Tensor, tapped: weight_lib.Tapped | None, precision: str
) -> weight_lib.Value:
  """What the model gets; an additive weight is watched itself, because its gradient is no product."""
  if tapped is None:
    return weight_lib.FrozenWeight(weight, precision)
  return tf.convert_to_tensor(tapped) if variable.is_additive else tapped


def _gradient(tapped: weight_lib.Tapped, flag: bool | tf.Tensor, d_outputs: Sequence[tf.Tensor]) -> tf.Tensor:
  if tf.is_tensor(flag):
    return tf.cond(flag, functools.partial(tapped.gradient, d_outputs), lambda: tf.zeros([0]))
  return tapped.gradient(d_outputs)
