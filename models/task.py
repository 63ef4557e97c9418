"""A task: a model, what its examples look like, and what is measured on a batch of them."""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import model as model_lib

Batch = Mapping[str, tf.Tensor]
Measures = collections.OrderedDict  # loss_sum, correct_sum and weight_sum, float32 scalars that add up over batches.


@dataclasses.dataclass(frozen=True)
class Task:
  """What clients train and how it is judged.

  Attributes:
    model: The model.
    example_spec: `tf.TensorSpec`s of one example without a batch axis; always holds an int64 `client_key`.
    inputs: From a batch to the model's inputs.
    measure: From (outputs, batch) to `Measures`; the training loss is loss_sum / weight_sum. For a task with a target,
      outputs are the pair of the model's and its target's.
    is_language_model: Whether what is predicted are tokens, so that e to the loss is a perplexity.
    reindex: From (batch, int32 [vocabulary]: the new index of each token, 0 for those that are gone) to the batch for a
      model that holds a part of the vocabulary; None if the task knows no vocabulary.
    target_momentum: For a task that compares the model with a target, the same model with an exponential moving average
      of the weights: what of the average stays in each local step, in [0, 1). None for a task without.
    precision: In which products of weights are formed while they are trained: see `models.precision`.
    measure_each: As `measure`, of each example on its own: float32 [batch] in place of scalars. None for a task whose
      examples are not judged one by one: parts of a client's text, or what is compared with the rest of its batch.
  """

  model: model_lib.Model
  example_spec: collections.OrderedDict[str, tf.TensorSpec]
  inputs: Callable[[Batch], tf.Tensor]
  measure: Callable[[tf.Tensor, Batch], Measures]
  is_language_model: bool = True
  reindex: Callable[[Batch, tf.Tensor], Batch] | None = None
  target_momentum: float | None = None
  precision: str = 'float32'
  measure_each: Callable[[tf.Tensor, Batch], Measures] | None = None

  def evaluate(
    self,
    weights: Sequence[tf.Tensor],
    batch: Batch,
    seed: tf.Tensor | None = None,
    target: Sequence[tf.Tensor] | None = None,
  ) -> Measures:
    """Runs the model on a batch.

    Args:
      weights: In the order of `model.variables`.
      batch: Tensors of `example_spec` with a leading batch axis.
      seed: int64[2] for dropout while training, else None.
      target: Weights of the target, if the task has one; None if they are `weights` themselves. No gradient flows
        through it.

    Returns:
      The batch's measures.
    """
    inputs = self.inputs(batch)
    outputs = self.model.apply(self.model.by_name(weights), inputs, seed)
    if self.target_momentum is not None:
      aims = outputs if target is None else self.model.apply(self.model.by_name(target), inputs, seed)
      outputs = (outputs, tf.nest.map_structure(tf.stop_gradient, aims))
    return self.measure(outputs, batch)


def zero_measures() -> Measures:
  """The measures of no batch at all."""
  return collections.OrderedDict((name, tf.constant(0.0)) for name in ('loss_sum', 'correct_sum', 'weight_sum'))
