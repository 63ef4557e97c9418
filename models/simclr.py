"""SimCLR: each view tells its other view from those of the other images (Chen et al. 2020, arXiv 2002.05709).

the loss of z = relu(h A + a) B + b among all z of the batch: see `contrastive.nt_xent`
"""

import dataclasses

import tensorflow as tf

from data import arguments
from models import augmentation as augmentation_lib
from models import contrastive
from models import layers
from models import model as model_lib
from models import self_supervised_task


@dataclasses.dataclass(frozen=True)
class SimCLR(self_supervised_task.Objective):
  """The objective.

  Attributes:
    temperature: Temperature of the loss.
  """

  temperature: float

  def __post_init__(self):
    arguments.check_positive(temperature=self.temperature)
    super().__post_init__()

  def head_variables(self, feature_width: int) -> list[model_lib.Variable]:
    """See `Objective.head_variables`."""
    return self_supervised_task.mlp_variables('head/projection', feature_width, self.width, self.outputs)

  def head(self, weights: layers.Named, features: tf.Tensor) -> self_supervised_task.Outputs:
    """Returns the projections of first and second views, float32 [batch, outputs] each."""
    return tuple(tf.split(self_supervised_task.mlp(weights, 'head/projection', features), 2))

  def scores(self, outputs: self_supervised_task.Outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """See `Objective.scores`."""
    return contrastive.nt_xent(*outputs, self.temperature)


def simclr(
  temperature: float = 0.2,
  width: int = 128,
  outputs: int = 64,
  min_area: float = 0.2,
  flip: bool = True,
  jitter: float = 0.4,
  greyscale: bool = True,
) -> SimCLR:
  """Configures SimCLR: each view tells its other view from those of the other images.

  Args:
    temperature: Divides the similarities in the loss, above 0: the smaller, the more the nearest other images count.
    width: Width of the hidden layer of the head.
    outputs: Length of the vectors that are compared.
    min_area: See `augmentation.Augmentation`.
    flip: See `augmentation.Augmentation`.
    jitter: See `augmentation.Augmentation`.
    greyscale: See `augmentation.Augmentation`.

  Returns:
    The objective.

  Raises:
    ValueError: For values out of range.
  """
  return SimCLR(augmentation_lib.Augmentation(min_area, flip, jitter, greyscale), width, outputs, temperature)
