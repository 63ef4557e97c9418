"""What `--pretrained` names: a model in a folder, found, checked against the run, and made its start."""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow_federated as tff

from experiments.command import device_specs
from experiments.command import failures
from experiments.command import given_objects
from experiments.command import spec
from experiments.results import plugins_of_run
from models import catalog
from models import checkpoint
from models import model as model_lib


@dataclasses.dataclass(frozen=True)
class WarmStart:
  """The weights that a run starts from.

  Attributes:
    loaded: Where they come from; a variable of the run's model that is not among them keeps its initial value.
  """

  loaded: checkpoint.Checkpoint

  def replace(self, names: Sequence[str], initial: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Returns the weights of the variables `names`, whose initial values are `initial`."""
    weights = self.loaded.weights
    return tuple(weights.get(name, value) for name, value in zip(names, initial, strict=True))

  def of(self, model: model_lib.Model, seed: int) -> tuple[np.ndarray, ...]:
    """Returns the weights with which a run of `seed` begins."""
    initial = [weight.numpy() for weight in model.initial_weights(seed)]
    return self.replace([variable.name for variable in model.variables], initial)

  def begin(self, process: tff.learning.templates.LearningProcess, state: Any, names: Sequence[str]) -> Any:
    """Returns the initial state of a process, whose variables are `names`, with these weights."""
    initial = process.get_model_weights(state)
    weights = self.replace(names, initial.trainable)
    return process.set_model_weights(state, tff.learning.models.ModelWeights(weights, initial.non_trainable))

  def check_vocabulary(self, description: checkpoint.Description, dataset: str) -> None:
    """Raises `UsageError` unless the tokens are those of the run that is described, on the data set so named."""
    own = self.loaded.description
    if own.tokenizer_hash != description.tokenizer_hash:
      raise failures.UsageError(
        f'--pretrained={self.loaded.folder} has another vocabulary ({own.vocabulary_size} pieces, SHA-256 '
        f'{own.tokenizer_hash[:12]}) than --dataset={dataset} ({description.vocabulary_size} pieces, '
        f'{description.tokenizer_hash[:12]}): pre-train with this --dataset, and any --corpus'
      )


def load(folder: str | pathlib.Path) -> checkpoint.Checkpoint:
  """Reads the model in `folder`; raises `UsageError` if there is no sound one."""
  plugins_of_run.say_if_others(pathlib.Path(folder))
  try:
    return checkpoint.load(pathlib.Path(folder))
  except (ValueError, OSError) as error:
    raise failures.UsageError(f'--pretrained={folder}: {error}') from error


def start(
  loaded: checkpoint.Checkpoint,
  base: model_lib.Model,
  adapted: model_lib.Model,
  rebuilt: frozenset[str],
) -> WarmStart:
  """Makes a model the start of a run.

  Args:
    loaded: The model.
    base: The model as `--model` names it; all its variables must be there.
    adapted: What `--trainable` makes of it; its further variables may be there.
    rebuilt: Names of the variables that clients draw from the seed instead of receiving them.

  Returns:
    The start.

  Raises:
    UsageError: If they do not fit, or clients would not receive all weights.
  """
  _check_variables(loaded, base, adapted)
  check_received(loaded.folder, rebuilt)
  return WarmStart(loaded)


def check_received(folder: pathlib.Path, rebuilt: frozenset[str]) -> None:
  """Raises `UsageError` if clients draw weights, `rebuilt`, from the seed in place of those of the model in `folder`."""
  if rebuilt:
    raise failures.UsageError(
      f'--pretrained={folder} cannot start a run with --trainable=frozen(...), whose clients draw frozen '
      "weights from the seed: use suffix(blocks=...) or random(fraction=..., resample='never')"
    )


def build_model(description: checkpoint.Description) -> model_lib.Model:
  """Builds the model that a description names; raises `SpecError` if it does not name one."""
  if description.image_shape:
    encoder = spec.build(description.model, catalog.VISION_MODELS, 'model')
    base = encoder.classifier(description.image_shape, len(description.class_names))
  else:
    base = spec.build(description.model, catalog.LANGUAGE_MODELS, 'model')(description.vocabulary_size)
  devices = device_specs.build(description.trainable, description.devices)
  return device_specs.adapt(devices, base, 0, description.trainable)


def weights_of(loaded: checkpoint.Checkpoint, model: model_lib.Model) -> tuple[np.ndarray, ...]:
  """Returns the weights in the order of `model`; raises `UsageError` if they are not those of it."""
  _check_variables(loaded, model, model)
  return tuple(loaded.weights[variable.name] for variable in model.variables)


def _check_variables(loaded: checkpoint.Checkpoint, base: model_lib.Model, adapted: model_lib.Model) -> None:
  """Raises `UsageError` unless the weights hold all variables of `base`, and none that `adapted` has not."""
  shapes = {variable.name: variable.shape for variable in adapted.variables}
  missing = [variable.name for variable in base.variables if variable.name not in loaded.weights]
  surplus = [name for name in loaded.weights if name not in shapes]
  misshapen = [name for name, value in loaded.weights.items() if shapes.get(name, value.shape) != value.shape]
  problem = None
  if misshapen:
    name = misshapen[0]
    problem = f'{name} has shape {list(loaded.weights[name].shape)}, not {list(shapes[name])}{_more(misshapen)}'
  elif missing:
    problem = f'it has no {missing[0]}{_more(missing)}'
  elif surplus:
    problem = f'this model has no {surplus[0]}{_more(surplus)}'
  if problem:
    description = loaded.description
    raise failures.UsageError(
      f'--pretrained={loaded.folder} holds another model: {problem}; it was trained with '
      f'--model={given_objects.shown(description.model)!r} --trainable={given_objects.shown(description.trainable)!r}'
    )


def _more(names: Sequence[str]) -> str:
  return f' (and {len(names) - 1} more)' if len(names) > 1 else ''
