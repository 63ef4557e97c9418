"""Quantization whose step size follows the clients' votes (Mitchell et al. 2022, arXiv 2201.02664).

    level = floor(x / step) + Bernoulli(x / step - floor(x / step));  the levels of all variables are entropy coded
    vote = argmin_o  |x - decode(encode_o(x))|^2 / |x|^2  +  lagrangian * bits_o / size     over steps step * width**o
    step <- the option with the most votes, for the next round

Unbiased. A client encodes once for each option, a vote costs it one byte (counted), and the step size comes down with
the round's seeds (not counted). Ours: distortion is relative to the update, so that one lagrangian suits any model;
ties keep the step size.
"""

from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from compression import adaptive
from compression import codec as codec_lib
from compression import elias_gamma
from compression import stage
from compression import update_codec as update_codec_lib

_TOP = 32_767  # Levels reach from -_TOP to _TOP steps; values beyond are clipped.
_EXPONENTS = (0, -1, 1)  # The options; the first wins a tie.


class StepQuantizer(stage.Stage):
  """Rounds to whole multiples of a step size, up or down at random so that the mean is exact."""

  gives = stage.Kind.LEVELS

  def __init__(self, step: tf.Tensor):
    """Configures the stage; `step` is float32 [], positive, known at both ends."""
    self._step = step

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many levels as there were values."""
    return stage.Form(stage.Kind.LEVELS, form.size, 2 * _TOP + 1)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and no side information."""
    del form, shared_seed
    position = tf.clip_by_value(x / self._step, -_TOP, _TOP)
    floor = tf.floor(position)
    up = tf.random.stateless_uniform(tf.shape(x), client_seed) < position - floor
    return tf.cast(floor, tf.int32) + tf.cast(up, tf.int32) + _TOP, ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 multiples of the step size; see `Stage.decode`."""
    del side, form, shared_seed
    return tf.cast(x - _TOP, tf.float32) * self._step


@dataclasses.dataclass(frozen=True)
class RateDistortion(adaptive.AdaptiveCodec):
  """Stochastic quantization and Elias gamma code, with a step size that the clients vote on.

  Attributes:
    lagrangian: Relative distortion that a bit per parameter is worth; larger makes fewer bytes.
    initial_step: Step size of the first round.
    width: Factor between neighbouring options, above 1.
  """

  lagrangian: float = 0.02
  initial_step: float = 1e-3
  width: float = 1.5

  num_options = len(_EXPONENTS)

  def __post_init__(self):
    """Raises `ValueError` for a value out of range."""
    stage.check_number('lagrangian', self.lagrangian, 0.0, 1e6)
    stage.check_number('initial_step', self.initial_step, 0.0, 1e6)
    stage.check_number('width', self.width, 1.0, 1e3)

  @property
  def initial_parameter(self) -> float:
    """The step size of the first round."""
    return self.initial_step

  def at(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    """Returns the codec with step size `parameter`, over all variables as one tensor."""
    return update_codec_lib.UpdateCodec(
      codec_lib.Codec([StepQuantizer(parameter), elias_gamma.EliasGamma()]), concatenate=True
    )

  def vote(
    self, tensors: Sequence[tf.Tensor], parameter: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tf.Tensor:
    """Returns the index of the option that costs least, uint8 [1]."""
    specs = [tf.TensorSpec.from_tensor(tensor) for tensor in tensors]
    num_values = sum(spec.shape.num_elements() for spec in specs)
    costs = []
    for exponent in _EXPONENTS:
      codec = self.at(parameter * self.width**exponent)
      sent = codec.encode(tensors, tf.fill([len(specs)], True), client_seed, shared_seed)
      error, norm = tf.unstack(codec.squared_error(tensors, sent, specs, shared_seed))
      bits = 8 * tf.cast(codec_lib.num_bytes([sent.payloads]), tf.float32)
      costs.append(tf.math.divide_no_nan(error, norm) + self.lagrangian * bits / num_values)
    return tf.cast(tf.argmin(tf.stack(costs))[tf.newaxis], tf.uint8)

  def next_parameter(self, parameter: tf.Tensor, votes: tf.Tensor) -> tf.Tensor:
    """Returns the step size with the most votes; without any, the same."""
    factors = tf.constant([self.width**exponent for exponent in _EXPONENTS])
    return tf.clip_by_value(parameter * factors[tf.argmax(votes)], 1e-12, 1e12)
