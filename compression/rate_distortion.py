"""Quantization whose step size follows the clients' votes (Mitchell et al. 2022, arXiv 2201.02664).

    level = floor(x / step) + Bernoulli(x / step - floor(x / step));  the levels of all variables are entropy coded
    vote = argmin_o  |x - decode(encode_o(x))|^2 / |x|^2  +  lagrangian * bits_o / size     over steps step * width**o
    step <- the option with the most votes, for the next round

Unbiased. A client encodes once for each option, a vote costs it one byte (counted), and the step size comes down with
the round's seeds (not counted). Ours: distortion is relative to the update, so that one lagrangian suits any model, and
`size` is of what the client sends; ties keep the step size; variables that clients do not train together are coded
apart; and levels are bounded, see `StepQuantizer`: a client whose values are beyond votes for the larger step.
"""

from collections.abc import Sequence
import dataclasses
import math

import tensorflow as tf

from compression import adaptive
from compression import codec as codec_lib
from compression import stage
from compression import update_codec as update_codec_lib
from compression.stages import elias_gamma
from data import arguments

_TOP = 32_767  # Levels reach from -_TOP to _TOP steps.
_SMALLEST_STEP, _LARGEST_STEP = 1e-12, 1e12
_EXPONENTS = (0, -1, 1)  # The options; the first keeps the step.
_LARGER = 2


class StepQuantizer(stage.Stage):
  """Rounds to whole multiples of a step size, up or down at random so that the mean is exact.

  If the largest value is more than 32,767 steps, the step of the tensor is doubled until it is not; a byte says how often.
  """

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
    """Returns levels, int32, and (uint8[1]: how often the step was doubled,)."""
    del form, shared_seed
    doublings = self._doublings(_peak([x]))
    position = x / self._doubled(doublings)
    floor = tf.floor(position)
    up = tf.random.stateless_uniform(tf.shape(x), client_seed) < position - floor
    return tf.cast(floor, tf.int32) + tf.cast(up, tf.int32) + _TOP, (tf.cast(doublings, tf.uint8)[tf.newaxis],)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 multiples of the step size, none beyond the largest float; see `Stage.decode`."""
    del form, shared_seed
    values = tf.cast(x - _TOP, tf.float32) * self._doubled(tf.cast(side[0][0], tf.float64))
    return tf.clip_by_value(values, tf.float32.min, tf.float32.max)

  def _doublings(self, peak: tf.Tensor) -> tf.Tensor:
    """Returns the least number of doublings at which `peak` is within reach, float64 []."""
    reach = tf.cast(self._step, tf.float64) * _TOP
    return tf.maximum(tf.math.ceil(tf.math.log(tf.cast(peak, tf.float64) / reach) / math.log(2.0)), 0.0)

  def _doubled(self, doublings: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(self._step, tf.float64) * tf.pow(tf.constant(2.0, tf.float64), doublings), tf.float32)


@dataclasses.dataclass(frozen=True)
class RateDistortion(adaptive.AdaptiveCodec):
  """Quantizes by a step size that the clients vote on, and codes the levels by Elias gamma.

  Attributes:
    lagrangian: Relative distortion that a bit per parameter is worth; larger makes fewer bytes.
    initial_step: Step size of the first round, above 1e-12.
    width: Factor between neighbouring options, above 1.
  """

  lagrangian: float = 0.02
  initial_step: float = 1e-3
  width: float = 1.5

  num_options = len(_EXPONENTS)

  def __post_init__(self):
    """Raises `ValueError` for a value out of range."""
    arguments.check_within('(0, 1e6]', lagrangian=self.lagrangian)
    arguments.check_within(f'({_SMALLEST_STEP}, 1e6]', initial_step=self.initial_step)
    arguments.check_within('(1, 1e3]', width=self.width)

  @property
  def initial_parameter(self) -> float:
    """The step size of the first round."""
    return self.initial_step

  @property
  def shares_scale(self) -> bool:
    """The step is that of all variables."""
    return True

  def at(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    """Returns the codec with step size `parameter`, over variables that are trained together as one tensor."""
    return update_codec_lib.UpdateCodec(
      codec_lib.Codec([StepQuantizer(parameter), elias_gamma.EliasGamma()]), concatenate=True
    )

  def vote(self, ballot: adaptive.Ballot) -> tf.Tensor:
    """Returns the index of the option that costs least, uint8 [1]; the first of several."""
    codec_at, tensors, present, parameter, client_seed, shared_seed = ballot
    specs = [tf.TensorSpec.from_tensor(tensor) for tensor in tensors]
    sizes = tf.constant([spec.shape.num_elements() for spec in specs])
    num_values = tf.cast(tf.reduce_sum(tf.where(present, sizes, 0)), tf.float32)
    peak = _peak([tf.where(is_present, x, 0.0) for x, is_present in zip(tensors, tf.unstack(present), strict=True)])
    # Costs do not change with the scale of values and step; squares of large values would overflow.
    unit = tf.clip_by_value(peak, 1e-30, 1e30)
    tensors = [tensor / unit for tensor in tensors]
    costs = []
    for exponent in _EXPONENTS:
      codec = codec_at(tf.clip_by_value(parameter / unit * self.width**exponent, 1e-30, 1e30))
      sent = codec.encode(tensors, present, client_seed, shared_seed)
      error, norm = tf.unstack(codec.squared_error(tensors, sent, specs, shared_seed))
      bits = 8 * tf.cast(codec_lib.num_bytes([sent.payloads]), tf.float32)
      costs.append(tf.math.divide_no_nan(error, norm) + self.lagrangian * tf.math.divide_no_nan(bits, num_values))
    choice = tf.where(peak / parameter > _TOP, tf.constant(_LARGER, tf.int64), tf.argmin(tf.stack(costs)))
    return tf.cast(choice[tf.newaxis], tf.uint8)

  def next_parameter(self, parameter: tf.Tensor, votes: tf.Tensor) -> tf.Tensor:
    """Returns the step size with the most votes; the same if none has more than every other."""
    factors = tf.constant([self.width**exponent for exponent in _EXPONENTS])
    has_most = tf.equal(votes, tf.reduce_max(votes))
    wins = tf.equal(tf.reduce_sum(tf.cast(has_most, tf.int32)), 1)
    step = parameter * tf.where(wins, factors[tf.argmax(votes)], 1.0)
    return tf.clip_by_value(step, _SMALLEST_STEP, _LARGEST_STEP)


def _peak(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns the largest magnitude, float32 []; 0 of no values."""
  return tf.reduce_max(tf.stack([0.0, *(tf.reduce_max(tf.abs(x)) for x in tensors)]))
