"""The two domains in which clients train an encoder without labels: images, of which two views should be alike, and texts,
of which some tokens are hidden.

A domain knows which data sets, encoders and objectives go together; a lesson is what they make of prepared examples.
"""

import abc
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import ClassVar

import numpy as np
import tensorflow as tf

from data import catalog as data_catalog
from data import image_source
from data import labelled_images
from data import labelled_text
from data import partitions
from data import prepare
from data import prepare_images
from data import prepare_labelled
from data import prepared_examples
from data import sentencepieces
from data import source as source_lib
from data import text_baselines
from data import text_encoders
from experiments.central import image_examples
from experiments.central import task as pretraining_task
from experiments.central import training as central_training
from experiments.command import launch
from experiments.command import spec
from experiments.command import takers
from experiments.stages import linear_probe
from models import catalog
from models import checkpoint
from models import chunked_encoder
from models import classification_task
from models import encoder as encoder_lib
from models import image_encoder
from models import image_task
from models import layers
from models import self_supervised_task
from models import task as task_lib

TF_IDF = 'probe/accuracy_tf_idf'


@dataclasses.dataclass(frozen=True)
class Lesson(abc.ABC):
  """What an encoder learns, from which examples.

  Attributes:
    encoder: All blocks of it; an encoder with fewer has the first ones.
    objective: What it learns.
    examples: Of all clients.
    chunk_size: Examples that the encoder sees at once while it learns, 0 for all of a batch; texts are not chunked.
    input_name: What tasks call an example without its label.
  """

  input_name: ClassVar[str]

  encoder: Any
  objective: Any
  examples: prepared_examples.PreparedExamples
  chunk_size: int = 0

  def of_depth(self, num_blocks: int) -> Any:
    """Returns the encoder with the first `num_blocks` blocks alone."""
    return dataclasses.replace(self.encoder, num_layers=num_blocks)

  @abc.abstractmethod
  def build_task(self, num_blocks: int) -> task_lib.Task:
    """Returns what so many blocks learn, without labels; raises `ValueError` if they cannot take the examples."""

  @abc.abstractmethod
  def describe(self, num_blocks: int) -> checkpoint.Description:
    """Says what is saved once so many blocks have learned."""

  @abc.abstractmethod
  def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples of a split, int32 [n, ...], and their labels, int32 [n]."""

  def labelled(self, split: str) -> central_training.Features:
    """Returns `arrays`, as tasks call them."""
    inputs, labels = self.arrays(split)
    return {self.input_name: inputs, 'label': labels}

  @abc.abstractmethod
  def classification(self) -> task_lib.Task:
    """Returns what encoder and a new classifier learn from `labelled` examples."""

  @abc.abstractmethod
  def describe_classifier(self) -> checkpoint.Description:
    """Says what is saved of the model of `classification`."""

  @abc.abstractmethod
  def features(self, weights: layers.Named, batch: tf.Tensor) -> tf.Tensor:
    """Returns what the encoder makes of examples, int32 [batch, ...]: float32 [batch, width]."""

  def baselines(self, training: linear_probe.Labelled, heldout: linear_probe.Labelled) -> dict[str, float]:
    """Returns the accuracies of simpler classifiers, for `summary.json`."""
    del training, heldout
    return {}


class ImageLesson(Lesson):
  """Images, of which two views should be alike."""

  input_name = 'image'

  encoder: image_encoder.ImageEncoder
  objective: self_supervised_task.Objective
  examples: labelled_images.LabelledImages

  def build_task(self, num_blocks: int) -> task_lib.Task:
    encoder = chunked_encoder.by_chunks(self.of_depth(num_blocks), self.chunk_size)
    return self_supervised_task.build(self.objective, encoder, self.examples.image_shape)

  def describe(self, num_blocks: int) -> checkpoint.Description:
    return checkpoint.of_images(self.of_depth(num_blocks).spec, self.examples.image_shape, ())

  def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    found = self.examples.arrays(split)
    return found['image'], found['label']

  def features(self, weights: layers.Named, batch: tf.Tensor) -> tf.Tensor:
    return self.encoder.features(weights, image_task.scaled(batch), None)

  def classification(self) -> task_lib.Task:
    return image_task.build(image_examples.classifier(self.encoder, self.examples), self.examples.image_shape)

  def describe_classifier(self) -> checkpoint.Description:
    return checkpoint.of_images(self.encoder.spec, self.examples.image_shape, self.examples.class_names)


class TextLesson(Lesson):
  """Texts, of which some tokens are hidden, in the words of `experiments.pretrain`."""

  input_name = 'tokens'

  encoder: encoder_lib.Encoder
  objective: Callable[..., task_lib.Task]
  examples: labelled_text.LabelledText

  def build_task(self, num_blocks: int) -> task_lib.Task:
    task = self.objective(self.of_depth(num_blocks), self.examples.vocabulary_size, self._num_targets)
    return dataclasses.replace(task, example_spec=self.examples.element_spec)

  def describe(self, num_blocks: int) -> checkpoint.Description:
    (pieces,) = text_encoders.files_of(self.examples.tokenizer).values()
    model = self.of_depth(num_blocks).spec
    return checkpoint.Description(model, self.examples.vocabulary_size, self._num_targets, pieces)

  def arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
    return self.examples.arrays(split)

  def features(self, weights: layers.Named, batch: tf.Tensor) -> tf.Tensor:
    return self.encoder.features(weights, batch, None)

  def classification(self) -> task_lib.Task:
    model = self.encoder.classifier(self._num_rows, self.examples.num_classes)
    return classification_task.build(model, self.examples.sequence_length)

  def describe_classifier(self) -> checkpoint.Description:
    text = self.examples
    return checkpoint.Description(
      self.encoder.spec, self._num_rows, text.sequence_length, text.tokenizer.serialized, class_names=text.class_names
    )

  def baselines(self, training: linear_probe.Labelled, heldout: linear_probe.Labelled) -> dict[str, float]:
    return {TF_IDF: text_baselines.bag_of_tokens(*training, *heldout)}

  @property
  def _num_rows(self) -> int:
    """Of the table of tokens: all of them and the mask."""
    return self.examples.vocabulary_size + 1

  @property
  def _num_targets(self) -> int:
    """All tokens of an example but the one that begins it."""
    return self.examples.sequence_length - 1


@dataclasses.dataclass(frozen=True)
class Domain:
  """Which data sets, encoders and objectives go together.

  Attributes:
    name: What the examples are.
    catalogues: What the flags `dataset`, `model` and `objective` may name.
    check: Raises `UsageError` for an encoder that cannot grow, or cannot take the examples of a source.
    prepare: From source, partition and the value of `--vocabulary` to the examples; raises `UsageError`, `SpecError` or
      `DataError` if they do not fit.
    lesson: Made from encoder, objective and examples.
  """

  name: str
  catalogues: Mapping[str, Mapping[str, Callable[..., Any]]]
  check: Callable[[Any, Any], None]
  prepare: Callable[[Any, partitions.Partition, str | None], prepared_examples.PreparedExamples]
  lesson: type[Lesson]

  def build(self, flag: str, text: str) -> Any:
    """Builds what a flag of `catalogues` names; raises `SpecError`, and `UsageError` for what is of another domain."""
    own, name = self.catalogues[flag], spec.parse(text)[0].name
    for other in (IMAGES, TEXT):
      if name not in own and name in other.catalogues[flag]:
        raise launch.UsageError(
          f'--{flag}={text} is for {other.name}, but --dataset has {self.name}: choose {", ".join(own)}, or a --dataset '
          f'of {other.name}: {", ".join(other.catalogues["dataset"])}'
        )
    return spec.build(text, own, flag)


# The defaults of flags that depend on what --dataset holds: of images, of texts.
_DEFAULTS = dict(
  model=(
    'vit(width=64, mlp_width=128, num_layers=3, num_heads=4, patch_size=2)',
    'bert(width=64, mlp_width=256, num_layers=4, num_heads=4)',
  ),
  objective=('simclr(flip=False, min_area=0.4)', 'masked_language'),
  vocabulary=(None, 'docstrings'),
  algorithm=('fed_avg(client_lr=0.3)', 'local_adam(client_lr=0.002)'),
  clients_per_round=(3, 0),
  local_epochs=(10, 2),
  rounds=(45, 60),
)


def defaults(dataset: str) -> dict[str, str | int | None]:
  """Returns the defaults of the flags that depend on the data set that `--dataset` names."""
  column = (IMAGES, TEXT).index(of(dataset))
  return {flag: values[column] for flag, values in _DEFAULTS.items()}


def of(dataset: str) -> Domain:
  """Returns the domain of a data set, as `--dataset` names it."""
  return TEXT if spec.parse(dataset)[0].name in TEXT.catalogues['dataset'] else IMAGES


def masked_language() -> Callable[..., task_lib.Task]:
  """Configures prediction of hidden tokens; see `models.masked_language_task`."""
  return pretraining_task.build


def _prepare_images(
  source: image_source.ImageSource, partition: partitions.Partition, vocabulary: str | None
) -> labelled_images.LabelledImages:
  if vocabulary:
    raise launch.UsageError(f'--vocabulary={vocabulary} is for texts, but --dataset has images: leave it out')
  return prepare_images.prepare(source, partition)


def _check_encoder(encoder: encoder_lib.Encoder, source: source_lib.LabelledSource) -> None:
  if encoder.family.shares_block:
    raise launch.UsageError(
      f'{encoder.family.name} has one block for all its layers, so that it cannot grow: choose --model=bert or distilbert'
    )
  if source.sequence_length > encoder.max_length:
    raise launch.UsageError(
      f'sequence_length={source.sequence_length} of --dataset is more than the {encoder.max_length} positions of '
      '--model: lower it, or raise max_length'
    )


def _prepare_text(
  source: source_lib.LabelledSource, partition: partitions.Partition, vocabulary: str
) -> labelled_text.LabelledText:
  cut = prepare.prepare(takers.build_dataset(vocabulary, data_catalog.DATASETS, 'vocabulary'), partitions.natural())
  return prepare_labelled.prepare(source, partition, sentencepieces.OwnPieces(cut.tokenizer))


IMAGES = Domain(
  name='images',
  catalogues=dict(dataset=data_catalog.IMAGE_DATASETS, model=catalog.VISION_MODELS, objective=catalog.OBJECTIVES),
  check=lambda encoder, source: None,
  prepare=_prepare_images,
  lesson=ImageLesson,
)

TEXT = Domain(
  name='texts',
  catalogues=dict(
    dataset=data_catalog.CLASSIFICATION_DATASETS,
    model=catalog.ENCODERS,
    objective=dict(masked_language=masked_language),
  ),
  check=_check_encoder,
  prepare=_prepare_text,
  lesson=TextLesson,
)

DATASETS = IMAGES.catalogues['dataset'] | TEXT.catalogues['dataset']
