"""BYOL: each view predicts what a slower copy of the model makes of its other view (Grill et al. 2020, arXiv 2006.07733).

    z = relu(h A + a) B + b;  p = relu(z C + c) D + d;  loss = sum over both views of 2 - 2 cos(p, z' of the other view)

z' is the z of the target: the same model with weights that are an exponential moving average of those of the local steps.
In the paper the target lives as long as the training. Here it begins each round as the weights that the client received,
and ends with the round: clients keep nothing, and no target travels, so that it is never far behind. In evaluations the
target is the model itself.

Where the paper has batch normalization, both hidden layers are brought to zero mean and unit variance over the batch at
hand, both views, in evaluations too. Without that it maps all images to one point.
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
class BYOL(self_supervised_task.Objective):
  """The objective; `width` is that of the hidden layer between projections and predictions, too.

  Attributes:
    momentum: What of the target stays in each local step.
  """

  momentum: float

  def __post_init__(self):
    arguments.check_within('[0, 1)', momentum=self.momentum)
    super().__post_init__()

  @property
  def target_momentum(self) -> float:
    """See `Objective.target_momentum`."""
    return self.momentum

  def head_variables(self, feature_width: int) -> list[model_lib.Variable]:
    """See `Objective.head_variables`."""
    return [
      *self_supervised_task.mlp_variables('head/projection', feature_width, self.width, self.outputs),
      *self_supervised_task.mlp_variables('head/prediction', self.outputs, self.width, self.outputs),
    ]

  def head(self, weights: layers.Named, features: tf.Tensor) -> self_supervised_task.Outputs:
    """Returns predictions of first and second views, then their projections, float32 [batch, outputs] each."""
    standardized = self_supervised_task.standardized
    projections = self_supervised_task.mlp(weights, 'head/projection', features, standardized)
    predictions = self_supervised_task.mlp(weights, 'head/prediction', projections, standardized)
    return (*tf.split(predictions, 2), *tf.split(projections, 2))

  def scores(self, outputs: tuple[self_supervised_task.Outputs, ...]) -> tuple[tf.Tensor, tf.Tensor]:
    """See `Objective.scores`."""
    (first, second, *_), (*_, first_target, second_target) = outputs
    negative_cosine, correct = contrastive.crossed((first, second), (first_target, second_target))
    return 4.0 + 4.0 * negative_cosine, correct


def byol(
  momentum: float = 0.99,
  width: int = 128,
  outputs: int = 64,
  min_area: float = 0.2,
  flip: bool = True,
  jitter: float = 0.4,
  greyscale: bool = True,
) -> BYOL:
  """Configures BYOL: each view predicts what a slower copy of the model makes of its other view.

  It may end in one vector for all images: a loss of 0 with hardly any image right.

  Args:
    momentum: What of the target stays in each local step, in [0, 1). The fewer steps a round has, the lower it should
      be: after n steps, momentum ** n of the target is still the weights that the client received.
    width: Width of the hidden layers of projection and prediction.
    outputs: Length of the vectors that are predicted.
    min_area: See `augmentation.Augmentation`.
    flip: See `augmentation.Augmentation`.
    jitter: See `augmentation.Augmentation`.
    greyscale: See `augmentation.Augmentation`.

  Returns:
    The objective.

  Raises:
    ValueError: For values out of range.
  """
  return BYOL(augmentation_lib.Augmentation(min_area, flip, jitter, greyscale), width, outputs, momentum)
