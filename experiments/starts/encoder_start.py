"""What a text classifier begins as: an encoder with its vocabulary, and the weights it starts from."""

import dataclasses
import pathlib

import numpy as np

from data import source as source_lib
from data import text_encoders
from experiments.command import failures
from experiments.starts import pretrained
from models import checkpoint
from models import encoder as encoder_lib
from models import model as model_lib

_CLASSIFIER = 'head/classifier'


@dataclasses.dataclass(frozen=True)
class EncoderStart:
  """An encoder, pre-trained or not, that `encoder_finder` found.

  Attributes:
    encoder: Its dimensions.
    tokenizer: Makes its tokens.
    num_rows: Rows of its table of tokens.
    weights: What is pre-trained, by the names of variables; the rest is drawn.
    folder: Where the weights come from; None if nothing is pre-trained.
    content_hash: SHA-256 of them, in hexadecimal.
    num_positions: Tokens of the longest example that it has learned to read.
    trainable: The `--trainable` of the run that they come from.
    devices: The `--devices` of that run.
  """

  encoder: encoder_lib.Encoder
  tokenizer: text_encoders.TextEncoder
  num_rows: int
  num_positions: int
  weights: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  folder: pathlib.Path | None = None
  content_hash: str = ''
  trainable: str = 'all'
  devices: str = 'alike'

  def classifier(self, num_classes: int) -> model_lib.Model:
    """Builds the model; clients draw for themselves what is new in its head if the encoder says so."""
    model = self.encoder.classifier(self.num_rows, num_classes)
    if self.encoder.head_init == 'shared':
      return model
    known = self._known(model)
    new = {variable.name for variable in model.variables if variable.block == 'head' and variable.name not in known}
    return dataclasses.replace(model, drawn_by_clients=frozenset(new))

  def check_length(self, source: source_lib.LabelledSource) -> None:
    """Raises `UsageError` if the examples have more tokens than the encoder has learned to read."""
    if source.sequence_length > self.num_positions:
      raise failures.UsageError(
        f'sequence_length={source.sequence_length} of --dataset is more than {self.num_positions}, which is what '
        '--pretrained has learned: lower it'
      )

  def description(self, source: source_lib.LabelledSource, trainable: str, devices: str) -> checkpoint.Description:
    """Says what the classifier is, to be saved with it."""
    return checkpoint.Description(
      self.encoder.spec,
      self.num_rows,
      source.sequence_length,
      self.tokenizer.serialized,
      trainable,
      devices,
      tuple(source.class_names),
    )

  def of(
    self, model: model_lib.Model, description: checkpoint.Description, rebuilt: frozenset[str]
  ) -> pretrained.WarmStart | None:
    """Returns the start of a run.

    Args:
      model: What `--trainable` makes of `classifier`.
      description: What it is.
      rebuilt: Names of the variables that clients draw from the seed instead of receiving them.

    Returns:
      The start; None if nothing is pre-trained.

    Raises:
      UsageError: If the model has no place for what was learned, or clients would not receive all of it.
    """
    if self.folder is None:
      return None
    self._check(model, description)
    pretrained.check_received(self.folder, rebuilt)
    known = self._known(model)
    return pretrained.WarmStart(checkpoint.Checkpoint(self.folder, known, description, 0, self.content_hash))

  def _check(self, model: model_lib.Model, description: checkpoint.Description) -> None:
    plain = {variable.name for variable in self.encoder.classifier(self.num_rows, 1).variables}
    lost = [name for name in self.weights.keys() - self._known(model).keys() if not name.startswith(_CLASSIFIER)]
    has_additions = not self.weights.keys() <= plain
    if lost or (has_additions and (self.trainable, self.devices) != (description.trainable, description.devices)):
      raise failures.UsageError(
        f'--pretrained={self.folder} was trained with --trainable={self.trainable!r} --devices={self.devices!r}: name '
        'the same, or start from what experiments.export makes of it'
      )

  def _known(self, model: model_lib.Model) -> dict[str, np.ndarray]:
    """The weights that the model has a place for: a head for other classes is none of its own."""
    shapes = {variable.name: variable.shape for variable in model.variables}
    return {name: value for name, value in self.weights.items() if shapes.get(name) == value.shape}
