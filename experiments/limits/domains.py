"""The two domains in which models are fine-tuned under limits: language, character by character, and vision.

A domain knows its data sets and models; `prepare` makes its data the work of a run.
"""

import abc
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Generic
from typing import TypeVar

import numpy as np

from data import catalog as data_catalog
from data import federated_text
from data import image_source
from data import labelled_images
from data import partitions
from data import prepare
from data import prepare_images
from data import prepared_examples
from data import source as source_lib
from experiments.central import image_examples
from experiments.command import failures
from experiments.command import spec
from experiments.starts import pretrained
from models import catalog
from models import checkpoint
from models import image_task
from models import language_task
from models import model as model_lib
from models import task as task_lib

_Source = TypeVar('_Source', bound=source_lib.Source)

_NEW_HEAD = 'head/classifier'
_ANY_VOCABULARY_SIZE = 8  # To count blocks.


@dataclasses.dataclass(frozen=True)
class Work(abc.ABC, Generic[_Source]):
  """Prepared data and what is learned from it.

  Attributes:
    prepared: The examples of all clients.
  """

  prepared: prepared_examples.PreparedExamples

  @abc.abstractmethod
  def build(self, model: str) -> model_lib.Model:
    """Builds the model that an argument of `--model` names, for this data; raises `SpecError` if it does not fit."""

  @abc.abstractmethod
  def task(self, model: model_lib.Model) -> task_lib.Task:
    """Builds the task of a model for this data."""

  @abc.abstractmethod
  def describe(self, model: str, trainable: str, devices: str) -> checkpoint.Description:
    """Says what the specs make of a model for this data."""

  @abc.abstractmethod
  def examples(self, client_ids: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Returns the training examples of these clients, int32 [n, ...] by name."""

  @abc.abstractmethod
  def check_learned(self, source: _Source) -> None:
    """Raises `UsageError` if models that have learned from a source cannot take this data."""

  @abc.abstractmethod
  def start(
    self, loaded: checkpoint.Checkpoint, model: str, adapted: model_lib.Model, dataset: str
  ) -> pretrained.WarmStart:
    """Makes a pre-trained model the start of a run.

    Args:
      loaded: The model.
      model: Its spec.
      adapted: What devices train of it.
      dataset: What the run's data is called in messages.

    Returns:
      The start.

    Raises:
      UsageError: If they do not fit.
    """


class CharacterWork(Work[source_lib.TextSource]):
  """Text of clients, and the next character in it."""

  prepared: federated_text.FederatedText

  def build(self, model: str) -> model_lib.Model:
    return spec.build(model, catalog.LANGUAGE_MODELS, 'model')(self.prepared.vocabulary_size)

  def task(self, model: model_lib.Model) -> task_lib.Task:
    return language_task.build(model, self.prepared.sequence_length)

  def describe(self, model: str, trainable: str, devices: str) -> checkpoint.Description:
    text = self.prepared
    return checkpoint.Description(
      model, text.vocabulary_size, text.sequence_length, text.tokenizer.model, trainable, devices
    )

  def examples(self, client_ids: Sequence[str]) -> Mapping[str, np.ndarray]:
    return dict(tokens=self.prepared.tokens('train', client_ids))

  def check_learned(self, source: source_lib.TextSource) -> None:
    del source  # Characters are the same in every text.

  def start(
    self, loaded: checkpoint.Checkpoint, model: str, adapted: model_lib.Model, dataset: str
  ) -> pretrained.WarmStart:
    found = pretrained.start(loaded, self.build(model), adapted, frozenset())
    found.check_vocabulary(self.describe(model, 'all', 'alike'), dataset)
    return found


class ImageWork(Work[image_source.ImageSource]):
  """Images of clients, and their classes, for which the head of a pre-trained model is drawn anew."""

  prepared: labelled_images.LabelledImages

  def build(self, model: str) -> model_lib.Model:
    return image_examples.classifier(spec.build(model, catalog.VISION_MODELS, 'model'), self.prepared)

  def task(self, model: model_lib.Model) -> task_lib.Task:
    return image_task.build(model, self.prepared.image_shape)

  def describe(self, model: str, trainable: str, devices: str) -> checkpoint.Description:
    images = self.prepared
    return checkpoint.of_images(model, images.image_shape, images.class_names, trainable, devices)

  def examples(self, client_ids: Sequence[str]) -> Mapping[str, np.ndarray]:
    return self.prepared.arrays('train', client_ids)

  def check_learned(self, source: image_source.ImageSource) -> None:
    learned = prepare_images.prepare(source, partitions.iid(clients=1)).image_shape
    if learned[2] != self.prepared.image_shape[2]:
      raise failures.UsageError(
        f'the models have learned from images of shape {list(learned)}, but those of --dataset have '
        f'{list(self.prepared.image_shape)}: choose other models, such as '
        '--model=\'vit(recipes="experiments/flagfiles/vits_32")\' for 32 x 32 pixels of three colours'
      )

  def start(
    self, loaded: checkpoint.Checkpoint, model: str, adapted: model_lib.Model, dataset: str
  ) -> pretrained.WarmStart:
    del dataset
    base = self.build(model)
    kept = tuple(variable for variable in base.variables if not variable.name.startswith(_NEW_HEAD))
    weights = {name: value for name, value in loaded.weights.items() if not name.startswith(_NEW_HEAD)}
    headless = dataclasses.replace(loaded, weights=weights)
    return pretrained.start(headless, dataclasses.replace(base, variables=kept), adapted, frozenset())


@dataclasses.dataclass(frozen=True)
class Domain(Generic[_Source]):
  """Which data sets and models go together, where models are fine-tuned.

  Attributes:
    datasets: By the names that `--dataset` takes.
    example: Arguments of a run that fit the domain, for messages.
    check: Raises `UsageError` for a source that its models cannot learn.
    check_apart: Raises `UsageError` if a source for fine-tuning holds what one for pre-training does.
    num_blocks: From an argument of `--model` to the depth of the model; raises `SpecError`.
    prepare: From source and partition to the work of a run.
  """

  datasets: Mapping[str, Callable[..., _Source]]
  example: str
  check: Callable[[_Source], None]
  check_apart: Callable[[_Source, _Source], None]
  num_blocks: Callable[[str], int]
  prepare: Callable[[_Source, partitions.Partition], Work[_Source]]


def _check_characters(source: source_lib.TextSource) -> None:
  if source.vocabulary != source_lib.CHARACTERS:
    raise failures.UsageError(
      f'the models of this binary predict characters: write --dataset=\'{source.name}(vocabulary="characters", ...)\''
    )


def _check_classes_apart(source: image_source.ImageSource, learned: image_source.ImageSource) -> None:
  shared = [name for name in source.class_names if name in learned.class_names]
  if shared:
    raise failures.UsageError(
      f'the models are pre-trained on {", ".join(learned.class_names)} of {learned.name}, {", ".join(shared)} of which '
      f'--dataset holds too: write others, as {source.name}(classes=[...])'
    )


def _num_character_blocks(model: str) -> int:
  variables = spec.build(model, catalog.LANGUAGE_MODELS, 'model')(_ANY_VOCABULARY_SIZE).variables
  return len({variable.block for variable in variables if variable.block.startswith('block_')})


LANGUAGE = Domain[source_lib.TextSource](
  datasets=data_catalog.DATASETS,
  example='--dataset=\'docstrings(vocabulary="characters", sequence_length=80)\'',
  check=_check_characters,
  check_apart=lambda source, learned: (
    None
  ),  # Text for pre-training is of other clients, as `experiments.pretrain` sees to.
  num_blocks=_num_character_blocks,
  prepare=lambda source, partition: CharacterWork(prepare.prepare(source, partition)),
)

VISION = Domain[image_source.ImageSource](
  datasets=data_catalog.IMAGE_DATASETS,
  example="--dataset='digits(classes=[5, 6, 7, 8, 9])' --partition='dirichlet(alpha=10.0, clients=40)'",
  check=lambda source: None,
  check_apart=_check_classes_apart,
  num_blocks=lambda model: spec.build(model, catalog.VISION_MODELS, 'model').num_layers,
  prepare=lambda source, partition: ImageWork(prepare_images.prepare(source, partition)),
)
