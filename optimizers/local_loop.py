"""A loop over batches within a graph."""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from models import task as task_lib

State = TypeVar('State')


def fold(step: Callable[[State, task_lib.Batch], State], state: State, batches: tf.data.Dataset) -> State:
  """Applies `step` to one batch after the other, which the loop takes from an iterator.

  `Dataset.reduce` does the same, but costs up to a quarter more time a step, and sets its function up anew in each call.

  Args:
    step: From a state and a batch to the next state, of the same structure, shapes and dtypes.
    state: The first state, a structure of tensors.
    batches: The batches, maybe none.

  Returns:
    The last state.
  """
  iterator = iter(batches)

  def body(batch: tf.experimental.Optional, state: State) -> tuple[tf.experimental.Optional, State]:
    following = step(state, batch.get_value())
    return iterator.get_next_as_optional(), following

  return tf.while_loop(lambda batch, _: batch.has_value(), body, (iterator.get_next_as_optional(), state))[1]
