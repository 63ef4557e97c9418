"""The gradient of a client's loss over all of its data, at one point: what MimeLite sends beside the update.

sum_b weight_sum_b grad loss(w, b) / sum_b weight_sum_b         over the batches b, whatever their size
"""

from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from models import gradients
from models import task as task_lib
from optimizers import local_batches
from optimizers import local_optimizer


def full_gradient(
  task_of_step: Callable[[tf.Tensor], task_lib.Task],
  batches: local_batches.Batches,
  weights: tuple[tf.Tensor, ...],
  flags: Sequence[local_optimizer.TrainedFlag],
  dropout_seed: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
  """Differentiates the loss of all batches together.

  Args:
    task_of_step: From the number of a batch to what is trained on it.
    batches: One pass over a client's data.
    weights: Where, float32 in the model's order.
    flags: Which variables the client trains; there are no products for the others.
    dropout_seed: int64[2]; the loss is that of training.

  Returns:
    The gradient, of the weights' shapes; zero for variables that are not trained, and without data.
  """
  chosen = [index for index, flag in enumerate(flags) if flag is not False]

  def add(state: tuple, batch: task_lib.Batch) -> tuple:
    total, weight_sum, index = state
    seed = tf.random.experimental.stateless_fold_in(dropout_seed, index)
    measures, found = gradients.gradients(task_of_step(index), weights, flags, batch, seed)
    weight = measures['weight_sum']
    total = tuple(
      _plus(*each, weight) for each in zip(total, (found[i] for i in chosen), (flags[i] for i in chosen), strict=True)
    )
    return total, weight_sum + weight, index + 1

  state = (tuple(tf.zeros_like(weights[index]) for index in chosen), tf.constant(0.0), tf.constant(0, tf.int64))
  total, weight_sum, _ = batches.fold(add, state)
  by_index = dict(zip(chosen, total, strict=True))
  return tuple(
    tf.math.divide_no_nan(by_index[index], weight_sum) if index in by_index else tf.zeros_like(weight)
    for index, weight in enumerate(weights)
  )


def _plus(total: tf.Tensor, gradient: tf.Tensor, flag: local_optimizer.TrainedFlag, weight: tf.Tensor) -> tf.Tensor:
  """Adds `weight` times a gradient, which is empty if the flag turns out false."""

  def added() -> tf.Tensor:
    return total + weight * tf.reshape(gradient, total.shape)

  return added() if isinstance(flag, bool) else tf.cond(flag, added, lambda: total)
