"""SimSiam: each view predicts its other view, and no other image is needed (Chen & He 2020, arXiv 2011.10566).

    z = relu(h A + a) B + b;  p = relu(z C + c) D + d;  loss -cos(p, z of the other view), a mean over both views

It would map all images to one point, were not z and both hidden layers brought to zero mean and unit variance over the
batch at hand, both views, in evaluations too.
"""

import dataclasses

import tensorflow as tf

from models import augmentation as augmentation_lib
from models import contrastive
from models import layers
from models import model as model_lib
from models import self_supervised_task
from models import sizes


@dataclasses.dataclass(frozen=True)
class SimSiam(self_supervised_task.Objective):
  """The objective.

  Attributes:
    bottleneck: Width of the hidden layer between projections and predictions.
  """

  bottleneck: int

  def __post_init__(self):
    super().__post_init__()
    sizes.check_dimensions(bottleneck=self.bottleneck)

  def head_variables(self, feature_width: int) -> list[model_lib.Variable]:
    """See `Objective.head_variables`."""
    return [
      *self_supervised_task.mlp_variables('head/projection', feature_width, self.width, self.outputs),
      *self_supervised_task.mlp_variables('head/prediction', self.outputs, self.bottleneck, self.outputs),
    ]

  def head(self, weights: layers.Named, features: tf.Tensor) -> self_supervised_task.Outputs:
    """Returns predictions of first and second views, then their projections, float32 [batch, outputs] each."""
    standardized = self_supervised_task.standardized
    projections = standardized(self_supervised_task.mlp(weights, 'head/projection', features, standardized))
    predictions = self_supervised_task.mlp(weights, 'head/prediction', projections, standardized)
    return (*tf.split(predictions, 2), *tf.split(projections, 2))

  def scores(self, outputs: self_supervised_task.Outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """See `Objective.scores`."""
    return contrastive.crossed(outputs[:2], outputs[2:])


def simsiam(
  width: int = 128,
  outputs: int = 64,
  bottleneck: int = 32,
  min_area: float = 0.2,
  flip: bool = True,
  jitter: float = 0.4,
  greyscale: bool = True,
) -> SimSiam:
  """Configures SimSiam: each view predicts its other view, and no other image is needed.

  It may end in one vector for all images: a loss of -1 with hardly any image right.

  Args:
    width: Width of the hidden layer of the projection.
    outputs: Length of the vectors that are predicted.
    bottleneck: Width of the hidden layer of the prediction.
    min_area: See `augmentation.Augmentation`.
    flip: See `augmentation.Augmentation`.
    jitter: See `augmentation.Augmentation`.
    greyscale: See `augmentation.Augmentation`.

  Returns:
    The objective.

  Raises:
    ValueError: For values out of range.
  """
  return SimSiam(augmentation_lib.Augmentation(min_area, flip, jitter, greyscale), width, outputs, bottleneck)
