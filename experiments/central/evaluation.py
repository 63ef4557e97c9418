"""Scores weights in this process, without TFF: the same measures as a run's evaluation."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from experiments.results import metrics
from models import task as task_lib

_BATCH_SIZE = 64  # Does not change the result, only memory and speed.


class Evaluation:
  """Scores weights of one task; the graph is built once."""

  def __init__(self, task: task_lib.Task):
    specs = tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables)
    batch = {name: tf.TensorSpec([None, *spec.shape], spec.dtype) for name, spec in task.example_spec.items()}
    del batch['client_key']  # No measure depends on it.
    self._is_language_model = task.is_language_model
    self._measure = tf.function(task.evaluate, autograph=False, input_signature=[specs, batch])

  def __call__(self, weights: Sequence[tf.Tensor | np.ndarray], examples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns `eval/loss`, `eval/accuracy` and `eval/perplexity`.

    Args:
      weights: In the order of the task's model.
      examples: int32 [n, ...] by name, as in `Task.example_spec` but for the key of the client.
    """
    weights = tuple(tf.convert_to_tensor(weight) for weight in weights)
    sums = dict.fromkeys(task_lib.zero_measures(), 0.0)
    for start in range(0, num_examples(examples), _BATCH_SIZE):
      batch = {name: tf.constant(values[start : start + _BATCH_SIZE]) for name, values in examples.items()}
      for name, value in self._measure(weights, batch).items():
        sums[name] += float(value)
    return metrics.evaluation_columns(sums, self._is_language_model)


def num_examples(examples: Mapping[str, np.ndarray]) -> int:
  """Returns how many there are, given their features by name."""
  return len(next(iter(examples.values())))
