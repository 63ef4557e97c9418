"""Entropy coding by range asymmetric numeral systems (Duda 2013, arXiv 1311.2540), interleaved over lanes.

A lane is a state x in [2**16, 2**32). With frequencies f that sum to M = 2**14 and s the sum of those of lower levels,

    encode:  if x >= f 2**18: emit the low 16 bits of x, x = floor(x / 2**16);  x = floor(x / f) M + x mod f + s
    decode:  slot = x mod M, its level is that with s <= slot < s + f;  x = f floor(x / M) + slot - s;
             if x < 2**16: x = 2**16 x + the next word

Value i belongs to lane i mod L. A lane costs 2 bytes more than its values need, and steps as many as it has values are
what coding costs in time: L is the largest power of two for which lanes cost at most 1 % of the empirical entropy.
Values are encoded last to first and decoded first to last, L at a time, from states of 2**16 to states of 2**16, which
decoding checks. The payload, all numbers little-endian:

    0, the levels as `bitpack` packs them       if the rest would not make them shorter
    1, the level as uint16                      if all are equal
    2, a bit for each level: whether it occurs; for each that does, f - 1 in 14 bits, both packed by `bitpack`;
       log2(L) in a byte; L final states as uint32; the emitted words as uint16, in the order in which decoding takes them
"""

import math

import tensorflow as tf

from compression import bitpack
from compression import stage

_PACKED, _CONSTANT, _CODED = 0, 1, 2
_MAX_LEVELS = 2**12  # A quarter of the slots: rarer levels than one slot then cost little.
_PRECISION = 14
_SLOTS = 2**_PRECISION
_WORD_BITS = 16
_LOW = 2**16
_MAX_LANES = 2**12


class Rans(stage.Stage):
  """Codes levels by their frequencies in this tensor, which travel with it, in close to their empirical entropy."""

  takes = stage.Kind.LEVELS
  gives = stage.Kind.BYTES

  def form(self, form: stage.Form) -> stage.Form:
    """Returns bytes; raises `ValueError` for more levels than a table of frequencies has room for."""
    if form.num_levels > _MAX_LEVELS:
      raise ValueError(
        f'rans takes at most {_MAX_LEVELS} levels, not {form.num_levels}: quantize to 12 bits or fewer, or use '
        'elias_gamma, which needs no table'
      )
    return stage.Form(stage.Kind.BYTES, None)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns bytes, one more than `bitpack` needs at most, and no side information."""
    del client_seed, shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.uint8), ()
    counts = tf.math.bincount(x, minlength=form.num_levels, maxlength=form.num_levels)

    def constant():
      return _framed(_CONSTANT, tf.bitcast(tf.cast(x[:1], tf.uint16), tf.uint8)[0])

    def varied():
      coded = _encode(x, counts, form.size)
      return tf.cond(
        tf.size(coded) < bitpack.packed_levels_size(form.size, form.num_levels),
        lambda: _framed(_CODED, coded),
        lambda: _framed(_PACKED, bitpack.pack_levels(x, form.num_levels)),
      )

    return tf.cond(tf.equal(tf.reduce_max(counts), form.size), constant, varied), ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the levels; raises `InvalidArgumentError` for bytes that `encode` cannot have made of such a form."""
    del side, shared_seed
    if form.size == 0:
      return _checked(tf.zeros([0], tf.int32), tf.equal(tf.size(x), 0), 'bytes for no values')
    x = _checked(x, tf.size(x) > 0, 'truncated')
    # A length known to the graph would not fit the branches that are not taken.
    x = tf.raw_ops.PlaceholderWithDefault(input=x, shape=[None])
    mode, rest = x[0], x[1:]
    rest = _checked(rest, mode <= _CODED, 'unknown mode')

    def packed():
      size = bitpack.packed_levels_size(form.size, form.num_levels)
      packed = _checked(rest, tf.equal(tf.size(rest), size), 'wrong length')
      levels = bitpack.unpack_levels(packed, form.num_levels, form.size)
      return _checked(levels, tf.reduce_all(levels < form.num_levels), 'no such level')

    def constant():
      octets = tf.cast(_checked(rest, tf.equal(tf.size(rest), 2), 'wrong length'), tf.int32)
      level = octets[0] + 256 * octets[1]
      return tf.fill([form.size], _checked(level, level < form.num_levels, 'no such level'))

    def coded():
      return _decode(rest, form)

    return tf.switch_case(tf.cast(mode, tf.int32), [packed, constant, coded])


def log2_lanes(counts: tf.Tensor) -> tf.Tensor:
  """Returns the binary logarithm of how many lanes share levels that occur `counts` times: int32 []."""
  counts = tf.cast(counts, tf.float64)
  total = tf.reduce_sum(counts)
  entropy_bits = tf.reduce_sum(tf.math.xlogy(counts, tf.math.divide_no_nan(total, counts))) / math.log(2.0)
  lanes = tf.clip_by_value(entropy_bits / (100 * _WORD_BITS), 1.0, float(_MAX_LANES))
  return tf.cast(tf.floor(tf.math.log(lanes) / math.log(2.0) + 1e-9), tf.int32)


def _encode(x: tf.Tensor, counts: tf.Tensor, num_values: int) -> tf.Tensor:
  """Returns the table, final states and words of levels of which at least two differ."""
  frequencies = _frequencies(tf.cast(counts, tf.int64), num_values)
  starts = tf.cumsum(frequencies, exclusive=True)
  exponent = log2_lanes(counts)
  lanes = tf.bitwise.left_shift(1, exponent)
  steps = num_values // lanes

  def encode_step(states, levels):
    frequency = tf.gather(frequencies, levels)
    emits = states >= tf.bitwise.left_shift(frequency, 2 * _WORD_BITS - _PRECISION)
    low_words = tf.cast(tf.bitwise.bitwise_and(states, 2**_WORD_BITS - 1), tf.uint16)
    states = tf.where(emits, tf.bitwise.right_shift(states, _WORD_BITS), states)
    # floor(x / f) M + x mod f + s, with one division.
    states += tf.truncatediv(states, frequency) * (_SLOTS - frequency) + tf.gather(starts, levels)
    return states, low_words, emits

  def body(step, states, words, emitted):
    states, low_words, emits = encode_step(states, x[step * lanes : (step + 1) * lanes])
    return step - 1, states, words.write(step, low_words), emitted.write(step, emits)

  states = tf.fill([lanes], tf.constant(_LOW, tf.int64))
  last_states, last_words, last_emits = encode_step(states[: num_values - steps * lanes], x[steps * lanes :])
  states = tf.concat([last_states, states[num_values - steps * lanes :]], axis=0)
  words = _array(tf.uint16, steps + 1).write(steps, last_words)
  emitted = _array(tf.bool, steps + 1).write(steps, last_emits)
  _, states, words, emitted = tf.while_loop(
    lambda step, *_: step >= 0,
    body,
    (steps - 1, states, words, emitted),
    (tf.TensorShape([]), tf.TensorShape([None]), None, None),
  )
  present = frequencies > 0
  table = tf.cast(tf.boolean_mask(frequencies, present) - 1, tf.int32)
  return tf.concat(
    [
      bitpack.pack(tf.cast(present, tf.int32), 1),
      bitpack.pack(table, _PRECISION),
      tf.cast(exponent, tf.uint8)[tf.newaxis],
      _octets(tf.cast(states, tf.uint32)),
      _octets(tf.boolean_mask(words.concat(), emitted.concat())),
    ],
    axis=0,
  )


def _decode(x: tf.Tensor, form: stage.Form) -> tf.Tensor:
  """Inverts `_encode`."""
  frequencies, x = _read_table(x, form.num_levels)
  x = _checked(x, tf.size(x) > 0, 'truncated')
  exponent, x = tf.cast(x[0], tf.int32), x[1:]
  exponent = _checked(exponent, exponent <= _MAX_LANES.bit_length() - 1, 'too many lanes')
  lanes = tf.bitwise.left_shift(1, exponent)
  steps = form.size // lanes
  x = _checked(x, tf.logical_and(tf.size(x) >= 4 * lanes, tf.equal(tf.size(x) % 2, 0)), 'truncated')
  states = tf.cast(tf.bitcast(tf.reshape(x[: 4 * lanes], [-1, 4]), tf.uint32), tf.int64)
  words = tf.bitcast(tf.reshape(x[4 * lanes :], [-1, 2]), tf.uint16)
  num_words = tf.size(words)
  # A word in front for lanes that take none before the first is taken.
  words = tf.concat([tf.zeros([1], tf.uint16), words], axis=0)
  levels_of = tf.searchsorted(tf.cumsum(frequencies), tf.range(_SLOTS, dtype=tf.int64), side='right')
  frequencies_of = tf.gather(frequencies, levels_of)
  offsets_of = tf.range(_SLOTS, dtype=tf.int64) - tf.gather(tf.cumsum(frequencies, exclusive=True), levels_of)
  levels_of = tf.cast(levels_of, tf.uint16)

  def decode_step(states, taken):
    slots = tf.bitwise.bitwise_and(states, _SLOTS - 1)
    states = tf.gather(frequencies_of, slots) * tf.bitwise.right_shift(states, _PRECISION)
    states += tf.gather(offsets_of, slots)
    takes = states < _LOW
    takes_word = tf.cast(takes, tf.int32)
    # A foreign payload may ask for words past the end; the last check refuses it.
    word = tf.cast(tf.gather(words, tf.minimum(taken + tf.cumsum(takes_word), num_words)), tf.int64)
    states = tf.where(takes, tf.bitwise.left_shift(states, _WORD_BITS) + word, states)
    return tf.gather(levels_of, slots), states, taken + tf.reduce_sum(takes_word)

  def body(step, states, taken, levels):
    decoded, states, taken = decode_step(states, taken)
    return step + 1, states, taken, levels.write(step, decoded)

  _, states, taken, levels = tf.while_loop(
    lambda step, *_: step < steps,
    body,
    (0, states, 0, _array(tf.uint16, steps + 1)),
    (tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([]), None),
  )
  rest = form.size - steps * lanes
  last_levels, last_states, taken = decode_step(states[:rest], taken)
  states = tf.concat([last_states, states[rest:]], axis=0)
  levels = tf.cast(levels.write(steps, last_levels).concat(), tf.int32)
  finished = tf.logical_and(tf.equal(taken, num_words), tf.reduce_all(tf.equal(states, _LOW)))
  return _checked(levels, finished, 'truncated, or not of this codec')


def _frequencies(counts: tf.Tensor, num_values: int) -> tf.Tensor:
  """Shares the slots among the levels that occur: int64 [num_levels], their sum is `_SLOTS`.

  Each gets one slot; the others go in proportion to what the exact share of a level exceeds one slot.
  """
  present = tf.cast(counts > 0, tf.int64)
  excess = tf.maximum(counts * _SLOTS - num_values, 0)
  spare = _SLOTS - tf.reduce_sum(present)
  shared = tf.cumsum(excess) * spare // tf.reduce_sum(excess)
  return present + shared - tf.concat([[0], shared[:-1]], axis=0)


def _read_table(x: tf.Tensor, num_levels: int) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the frequencies, int64 [num_levels], and the bytes that follow them."""
  size = bitpack.packed_size(num_levels, 1)
  x = _checked(x, tf.size(x) >= size, 'truncated')
  present, x = bitpack.unpack(x[:size], 1, num_levels), x[size:]
  num_present = tf.reduce_sum(present)
  size = bitpack.packed_size(num_present, _PRECISION)
  x = _checked(x, tf.size(x) >= size, 'truncated')
  table = tf.concat([bitpack.unpack(x[:size], _PRECISION, num_present) + 1, [0]], axis=0)
  frequencies = tf.cast(present * tf.gather(table, tf.cumsum(present, exclusive=True)), tf.int64)
  return _checked(frequencies, tf.equal(tf.reduce_sum(frequencies), _SLOTS), 'not a table of frequencies'), x[size:]


def _array(dtype: tf.DType, size: int) -> tf.TensorArray:
  return tf.TensorArray(dtype, size, infer_shape=False, element_shape=[None])


def _octets(x: tf.Tensor) -> tf.Tensor:
  return tf.reshape(tf.bitcast(x, tf.uint8), [-1])


def _framed(mode: int, octets: tf.Tensor) -> tf.Tensor:
  return tf.concat([tf.constant([mode], tf.uint8), octets], axis=0)


def _checked(x: tf.Tensor, condition: tf.Tensor, reason: str) -> tf.Tensor:
  """Returns x once `condition` has been found true."""
  with tf.control_dependencies([tf.debugging.Assert(condition, [f'rans: {reason}'])]):
    return tf.identity(x)
