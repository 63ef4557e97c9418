"""A finished run of a language model, with all that it takes to train its model for one more local round."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from data import catalog as data_catalog
from data import federated_text
from data import prepare
from experiments.command import algorithm_specs
from experiments.command import failures
from experiments.command import spec
from experiments.results import plugins_of_run
from experiments.results import run_files
from models import catalog as models_catalog
from models import checkpoint
from models import model as model_lib
from optimizers import local_batches
from optimizers import local_optimizer

_NUM_EXAMPLES = 100  # Clients that come nearest are large enough for several local steps.


@dataclasses.dataclass(frozen=True)
class TrainedRun:
  """What a run left, and what it was made of.

  Attributes:
    folder: The run's `output_dir`.
    settings: Its flags by name.
    trained: Its model.
    text: Its data set.
    build_model: Builds the model that `--model` names from the vocabulary's size.
    optimizer: That of its clients.
  """

  folder: pathlib.Path
  settings: Mapping[str, Any]
  trained: checkpoint.Checkpoint
  text: federated_text.FederatedText
  build_model: Callable[[int], model_lib.Model]
  optimizer: local_optimizer.LocalOptimizer

  @property
  def base(self) -> model_lib.Model:
    """The model that `--model` names, before a policy adapts it."""
    return self.build_model(self.text.vocabulary_size)

  @property
  def batches(self) -> local_batches.LocalBatches:
    """How a client goes through its examples."""
    settings = self.settings
    return local_batches.LocalBatches(
      settings['batch_size'], settings['local_epochs'], settings['max_examples_per_client']
    )

  def clients(self, number: int) -> list[str]:
    """Returns the ids of so many training clients, or all there are: of middling size, always the same."""
    sizes = {client_id: size for client_id, size in self.text.num_examples('train').items() if size}
    return sorted(sizes, key=lambda client_id: (abs(sizes[client_id] - _NUM_EXAMPLES), client_id))[:number]

  def examples(self, client_id: str) -> tf.data.Dataset:
    """Returns the examples of a training client."""
    return self.text.clients('train').create_tf_dataset_for_client(client_id)


def read(folder: pathlib.Path) -> TrainedRun:
  """Reads a run.

  Args:
    folder: The run's `output_dir`.

  Returns:
    The run.

  Raises:
    UsageError: If the folder holds no finished run of a language model, or its clients train with a state that is gone.
  """
  try:
    settings = run_files.read_config(folder)['settings']
    trained = checkpoint.load(folder)
    dataset, partition, algorithm = (settings[name] for name in ('dataset', 'partition', 'algorithm'))
  except (OSError, ValueError, KeyError) as error:
    raise failures.UsageError(f'{folder} holds no finished run: name the --output_dir of one') from error
  plugins_of_run.say_if_others(folder)
  source = spec.build(dataset, data_catalog.DATASETS, 'dataset')
  text = prepare.prepare(source, spec.build(partition, data_catalog.PARTITIONS, 'partition'))
  build_model = spec.build(trained.description.model, models_catalog.LANGUAGE_MODELS, 'model')
  optimizer = algorithm_specs.build(algorithm).client_optimizer
  if optimizer.is_shared:
    raise failures.UsageError(f'{folder} lacks the optimizer state that its clients train with: name a run of fed_adam')
  return TrainedRun(folder, settings, trained, text, build_model, optimizer)
