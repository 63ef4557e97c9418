"""Lessons: what clients train an encoder in without labels.

Of images, two views should be alike; of texts, some tokens are hidden.
"""

import abc
from collections.abc import Callable
import dataclasses
from typing import ClassVar
from typing import Generic
from typing import Protocol
from typing import TypeVar

import numpy as np
import tensorflow as tf

from data import labelled_images
from data import labelled_text
from data import prepared_examples
from data import text_baselines
from data import text_encoders
from experiments.central import image_examples
from experiments.central import training as central_training
from experiments.stages import linear_probe
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


class AnyEncoder(Protocol):
  """What lessons need of an encoder, a dataclass as those of `models.encoder` and `models.image_encoder` are.

  Attributes:
    num_layers: Number of blocks.
    spec: The text that `--model` takes to build it.
  """

  num_layers: int
  spec: str


_Encoder = TypeVar('_Encoder', bound=AnyEncoder)
_Objective = TypeVar('_Objective')


@dataclasses.dataclass(frozen=True)
class Lesson(abc.ABC, Generic[_Encoder, _Objective]):
  """What an encoder learns, from which examples.

  Attributes:
    encoder: All blocks of it; an encoder with fewer has the first ones.
    objective: What it learns.
    examples: Of all clients.
    chunk_size: Examples that the encoder sees at once while it learns, 0 for all of a batch; texts are not chunked.
    input_name: What tasks call an example without its label.
  """

  input_name: ClassVar[str]

  encoder: _Encoder
  objective: _Objective
  examples: prepared_examples.PreparedExamples
  chunk_size: int = 0

  def of_depth(self, num_blocks: int) -> _Encoder:
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


class ImageLesson(Lesson[image_encoder.ImageEncoder, self_supervised_task.Objective]):
  """Images, of which two views should be alike."""

  input_name = 'image'

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


class TextLesson(Lesson[encoder_lib.Encoder, Callable[..., task_lib.Task]]):
  """Texts, of which some tokens are hidden, in the words of `experiments.pretrain`."""

  input_name = 'tokens'

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
    """Rows of the table of tokens: all of them and the mask."""
    return self.examples.vocabulary_size + 1

  @property
  def _num_targets(self) -> int:
    """All tokens of an example but the one that begins it."""
    return self.examples.sequence_length - 1
