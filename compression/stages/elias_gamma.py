"""Elias gamma codes (Elias 1975) of distances from the most frequent level, with or without runs of that level.

    gamma(v) = N zeros, a one, the N low bits of v, most significant first;   N = floor(log2(v)), v >= 1
    zigzag(d) = 2 d if d > 0 else 1 - 2 d:   1, 2, 3, 4, 5 for d = 0, 1, -1, 2, -2

Values go in buckets of 65,000. A bucket becomes the shorter of two lists of numbers, the first if they tie:

    plain   zigzag(level - centre) for every value
    runs    for every value other than the centre: one more than the centres just before it (since the last such value);
            zigzag(level - centre) - 1. As Mitchell et al. (arXiv 2201.02664), with two differences: the centre is the
            most frequent level (the lowest of several) rather than zero, and the centres after the last value cost none.

The bits are those of the gamma codes, but transposed, so that all codes of a bucket are read at once: bit 1 of the unary
parts of all numbers, bit 1 of the binary parts of those that go on, bit 2 of the unary parts of these, and so on.
Buckets follow each other without a gap; the last byte is filled with zeros; bits fill bytes from the least significant.
"""

import tensorflow as tf

from compression import stage

_BUCKET = 65_000  # Values; a count of them fits 16 bits.
_PLAIN = 2**16 - 1  # In place of the count of a bucket with runs.
_MAX_LEVELS = 2**16
_MAX_BITS = 17  # Of a zigzag of 2**16 levels.


class EliasGamma(stage.Stage):
  """Codes levels in few bits if they are near the most frequent one, with no table."""

  takes = stage.Kind.LEVELS
  gives = stage.Kind.BYTES

  def form(self, form: stage.Form) -> stage.Form:
    """Returns bytes; raises `ValueError` for more than 65,536 levels."""
    if form.num_levels > _MAX_LEVELS:
      raise ValueError(f'elias_gamma takes at most {_MAX_LEVELS} levels, not {form.num_levels}: quantize to fewer bits')
    return stage.Form(stage.Kind.BYTES, None)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns bytes, and (uint16 of the centre and each bucket's count of other values or 65,535 if it is plain,)."""
    del client_seed, shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.uint8), (tf.zeros([0], tf.uint16),)
    counts = tf.math.bincount(x, minlength=form.num_levels, maxlength=form.num_levels)
    centre = tf.argmax(counts, output_type=tf.int32)
    num_buckets = _num_buckets(form)

    def body(index, bits, octets, counts):
      numbers, count = _numbers(x[index * _BUCKET : (index + 1) * _BUCKET] - centre)
      bits = tf.concat([bits, _gamma_bits(numbers)], axis=0)
      whole = tf.size(bits) // 8 * 8
      return index + 1, bits[whole:], octets.write(index, _octets(bits[:whole])), counts.write(index, count)

    _, bits, octets, counts = tf.while_loop(
      lambda index, *_: index < num_buckets,
      body,
      (0, tf.zeros([0], tf.uint8), _array(tf.uint8, num_buckets), tf.TensorArray(tf.int32, num_buckets)),
      (tf.TensorShape([]), tf.TensorShape([None]), None, None),
      parallel_iterations=1,
    )
    last = _octets(tf.pad(bits, [[0, tf.math.floormod(-tf.size(bits), 8)]]))
    side = tf.cast(tf.concat([[centre], counts.stack()], axis=0), tf.uint16)
    return tf.concat([octets.concat(), last], axis=0), (side,)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the levels; raises `InvalidArgumentError` for bytes that `encode` cannot have made of such a form."""
    del shared_seed
    num_buckets = _num_buckets(form)
    side = _checked(side[0], tf.equal(tf.size(side[0]), num_buckets + min(num_buckets, 1)), 'wrong side information')
    if form.size == 0:
      return _checked(tf.zeros([0], tf.int32), tf.equal(tf.size(x) + tf.size(side), 0), 'bytes for no values')
    side = tf.cast(side, tf.int32)

    def body(index, position, levels):
      length = tf.minimum(_BUCKET, form.size - index * _BUCKET)
      distances, position = _read_bucket(x, position, length, side[index + 1])
      return index + 1, position, levels.write(index, side[0] + distances)

    _, position, levels = tf.while_loop(
      lambda index, *_: index < num_buckets,
      body,
      (0, tf.constant(0, tf.int64), _array(tf.int32, num_buckets)),
      parallel_iterations=1,
    )
    levels = levels.concat()
    rest, _ = _read_bits(x, position, tf.cast(tf.math.floormod(-position, 8), tf.int32))
    finished = tf.equal((position + 7) // 8, tf.size(x, tf.int64)) & tf.reduce_all(tf.equal(rest, 0))
    levels = _checked(levels, finished, 'bytes left over')
    return _checked(levels, tf.reduce_all((levels >= 0) & (levels < form.num_levels)), 'no such level')


def _num_buckets(form: stage.Form) -> int:
  return -(-form.size // _BUCKET)


def _numbers(distances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the numbers that a bucket becomes, and its entry in the side information, int32 []."""
  plain = tf.where(distances > 0, 2 * distances, 1 - 2 * distances)
  others = tf.cast(tf.where(plain > 1)[:, 0], tf.int32)
  gaps = others - tf.concat([[-1], others[:-1]], axis=0)
  runs = tf.reshape(tf.stack([gaps, tf.gather(plain, others) - 1], axis=1), [-1])
  is_plain = _num_bits(plain) <= _num_bits(runs)
  return tf.cond(is_plain, lambda: plain, lambda: runs), tf.where(is_plain, _PLAIN, tf.size(others))


def _read_bucket(x: tf.Tensor, position: tf.Tensor, length: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the distances from the centre of a bucket of `length` values, and the position of the next."""
  is_plain = tf.equal(count, _PLAIN)
  count = _checked(count, is_plain | (count <= length), 'wrong side information')
  numbers, position = _read_gamma(x, position, tf.where(is_plain, length, 2 * count))

  def fill_runs():
    # int64, because runs of a foreign payload may be long.
    others = tf.cumsum(tf.cast(numbers[0::2], tf.int64)) - 1
    others = _checked(others, tf.reduce_all(others < tf.cast(length, tf.int64)), 'a run is too long')
    return tf.tensor_scatter_nd_update(tf.fill([length], 1), others[:, tf.newaxis], numbers[1::2] + 1)

  zigzags = tf.cond(is_plain, lambda: numbers, fill_runs)
  half = tf.bitwise.right_shift(zigzags, 1)
  return tf.where(tf.equal(zigzags, 2 * half), half, -half), position


def _gamma_bits(numbers: tf.Tensor) -> tf.Tensor:
  """Returns the gamma codes of positive numbers, transposed: uint8 of zeros and ones."""

  def body(plane, numbers, lengths, bits):
    goes_on = lengths > plane
    kept = tf.where(goes_on)[:, 0]
    numbers, lengths = tf.gather(numbers, kept), tf.gather(lengths, kept)
    binary = tf.bitwise.bitwise_and(tf.bitwise.right_shift(numbers, lengths - plane - 1), 1)
    bits = bits.write(2 * plane, tf.cast(tf.logical_not(goes_on), tf.uint8))
    return plane + 1, numbers, lengths, bits.write(2 * plane + 1, tf.cast(binary, tf.uint8))

  bits = _array(tf.uint8, 0, dynamic_size=True).write(0, tf.zeros([0], tf.uint8))
  *_, bits = tf.while_loop(
    lambda plane, numbers, *_: tf.size(numbers) > 0,
    body,
    (0, numbers, _floor_log2(numbers), bits),
    (tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None]), None),
    parallel_iterations=1,
  )
  return bits.concat()


def _read_gamma(x: tf.Tensor, position: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Inverts `_gamma_bits` for `count` numbers at a bit of x; returns them and the position after them."""

  def body(plane, position, places, prefixes, numbers):
    position = _checked(position, plane < _MAX_BITS, 'a number is too long')
    unary, position = _read_bits(x, position, tf.size(places))
    kept = tf.where(tf.equal(unary, 0))[:, 0]
    binary, position = _read_bits(x, position, tf.size(kept))
    places = tf.gather(places, kept)
    prefixes = 2 * tf.gather(prefixes, kept) + tf.cast(binary, tf.int32)
    return plane + 1, position, places, prefixes, tf.tensor_scatter_nd_update(numbers, places[:, tf.newaxis], prefixes)

  ones = tf.fill([count], 1)
  some = tf.TensorShape([None])
  _, position, _, _, numbers = tf.while_loop(
    lambda plane, position, places, *_: tf.size(places) > 0,
    body,
    (0, position, tf.range(count), ones, ones),
    (tf.TensorShape([]), tf.TensorShape([]), some, some, some),
    parallel_iterations=1,
  )
  return numbers, position


def _read_bits(x: tf.Tensor, position: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns `count` bits of x as uint8, and the position after them."""
  end = position + tf.cast(count, tf.int64)
  end = _checked(end, end <= 8 * tf.size(x, tf.int64), 'truncated')
  octets = x[position // 8 : (end + 7) // 8]
  table = tf.constant([sum((octet >> bit & 1) << 8 * bit for bit in range(8)) for octet in range(256)], tf.int64)
  bits = tf.reshape(tf.bitcast(tf.gather(table, tf.cast(octets, tf.int32)), tf.uint8), [-1])
  skipped = tf.cast(position % 8, tf.int32)
  return bits[skipped : skipped + count], end


def _octets(bits: tf.Tensor) -> tf.Tensor:
  """Packs a multiple of 8 zeros and ones, uint8, into bytes."""
  words = tf.bitcast(tf.reshape(bits, [-1, 8]), tf.int64)
  # The product's top byte has bit i of the word's byte i: 8 i + (56 - 7 i) = 56 + i, and nothing else reaches there.
  gathered = words * sum(1 << 56 - 7 * bit for bit in range(8))
  return tf.bitcast(gathered, tf.uint8)[:, 7]


def _num_bits(numbers: tf.Tensor) -> tf.Tensor:
  """Counts the bits of the gamma codes of positive numbers."""
  return tf.size(numbers) + 2 * tf.reduce_sum(_floor_log2(numbers))


def _floor_log2(numbers: tf.Tensor) -> tf.Tensor:
  """Returns the exponents of numbers below 2**24, which float32 holds exactly."""
  return tf.bitwise.right_shift(tf.bitcast(tf.cast(numbers, tf.float32), tf.int32), 23) - 127


def _array(dtype: tf.DType, size: int, dynamic_size: bool = False) -> tf.TensorArray:
  return tf.TensorArray(dtype, size, dynamic_size, infer_shape=False, element_shape=[None])


def _checked(x: tf.Tensor, condition: tf.Tensor, reason: str) -> tf.Tensor:
  """Returns x once `condition` has been found true."""
  with tf.control_dependencies([tf.debugging.Assert(condition, [f'elias_gamma: {reason}'])]):
    return tf.identity(x)
