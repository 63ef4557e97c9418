"""The update of one real client, from the model that a run left: what a codec meets in practice."""

import pathlib

import numpy as np
import tensorflow as tf

from data import catalog as data_catalog
from data import prepare
from experiments.command import algorithm_specs
from experiments.command import failures
from experiments.command import spec
from experiments.results import run_files
from models import catalog as models_catalog
from models import checkpoint
from models import language_task
from optimizers import local_batches
from optimizers import local_training

_NUM_EXAMPLES = 100  # The client that comes nearest: large enough for several local steps.


def of_run(folder: pathlib.Path) -> list[np.ndarray]:
  """Trains a finished run's model for one more local round on a training client.

  Args:
    folder: The run's `output_dir`.

  Returns:
    The client's update, received minus trained: float32 arrays in the order of the model's variables.

  Raises:
    UsageError: If the folder holds no finished run of a language model.
  """
  try:
    settings = run_files.read_config(folder)['settings']
    trained = checkpoint.load(folder)
  except (OSError, ValueError, KeyError) as error:
    raise failures.UsageError(f'{folder} holds no finished run: name the --output_dir of one') from error
  source = spec.build(settings['dataset'], data_catalog.DATASETS, 'dataset')
  text = prepare.prepare(source, spec.build(settings['partition'], data_catalog.PARTITIONS, 'partition'))
  build_model = spec.build(trained.description.model, models_catalog.LANGUAGE_MODELS, 'model')
  task = language_task.build(build_model(text.vocabulary_size), text.sequence_length)
  algorithm = algorithm_specs.build(settings['algorithm'])
  if algorithm.client_optimizer.is_shared:
    raise failures.UsageError(f'{folder} lacks the optimizer state that its clients train with: name a run of fed_adam')
  batches = local_batches.LocalBatches(
    settings['batch_size'], settings['local_epochs'], settings['max_examples_per_client']
  )
  clients = text.num_examples('train')
  client = min(clients, key=lambda client_id: (abs(clients[client_id] - _NUM_EXAMPLES), client_id))
  train = tf.function(local_training.LocalTraining(task, algorithm.client_optimizer, batches).__call__, autograph=False)
  received = local_training.Received(
    weights=tuple(tf.constant(trained.weights[variable.name]) for variable in task.model.variables),
    round_seed=tf.constant([settings['seed'], 0], tf.int64),
    round_number=tf.constant(settings['rounds'] + 1, tf.int64),
    units={},
  )
  result = train(received, text.clients('train').create_tf_dataset_for_client(client))
  return [tensor.numpy() for tensor in result.delta]
