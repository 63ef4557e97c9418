"""The update of one real client, from the model that a run left: what a codec meets in practice."""

import pathlib

import numpy as np
import tensorflow as tf

from experiments.command import failures
from experiments.comparisons import trained_run
from models import language_task
from optimizers import local_training


def of_run(folder: pathlib.Path) -> list[np.ndarray]:
  """Trains a finished run's model for one more local round on a training client.

  Args:
    folder: The run's `output_dir`.

  Returns:
    The client's update, received minus trained: float32 arrays in the order of the model's variables.

  Raises:
    UsageError: If the folder holds no finished run of a language model, or the update is zero or not finite.
  """
  run = trained_run.read(folder)
  task = language_task.build(run.base, run.text.sequence_length)
  train = tf.function(local_training.LocalTraining(task, run.optimizer, run.batches).__call__, autograph=False)
  received = local_training.Received(
    weights=tuple(tf.constant(run.trained.weights[variable.name]) for variable in task.model.variables),
    round_seed=tf.constant([run.settings['seed'], 0], tf.int64),
    round_number=tf.constant(run.settings['rounds'] + 1, tf.int64),
    units={},
  )
  (client_id,) = run.clients(1)
  update = [tensor.numpy() for tensor in train(received, run.examples(client_id)).delta]
  if not 0.0 < sum(float(np.square(array, dtype=np.float64).sum()) for array in update) < float('inf'):
    raise failures.UsageError(f'the update of a client of {folder} is zero or not finite: name a run that learns')
  return update
