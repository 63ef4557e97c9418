"""The codec conformance kit: laws that hold for every codec, for those of this repository and for your own.

A codec is described by a `Row`; what is special about it is a field of the row, never an exception in a law. A law is a
function that takes a row and raises `AssertionError` if the codec breaks it:

    row = Row('mine', stages=lambda: (Mine(),), golden_bytes=1022, unbiased=True, error_bound=lambda x: ...)
    for law in (*LAWS, *federated_conformance.LAWS):
      law(row)

The laws here need TensorFlow only; those of `federated_conformance.py` run rounds. LEANFED_STRESS=1 draws ten times as
much noise, and hypothesis takes its number of examples from the loaded profile.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import os

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
import numpy as np
import tensorflow as tf

from compression import codec as codec_lib
from compression import stage as stage_lib
from compression import update_codec

_DRAWS = 2560 if os.environ.get('LEANFED_STRESS') == '1' else 256
_SIZE = 64  # Values of the tensors that laws encode; a power of two, so that a rotation needs no padding.
_GOLDEN_SHAPES = ((1000,), (6,))
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Row:
  """What a codec promises.

  Attributes:
    name: For messages.
    stages: Builds a fresh chain.
    golden_bytes: Payload bytes of an update of two tensors of 1,000 and 6 normal values; worked out by hand.
    unbiased: Whether the mean of decoded values is x. Both answers are tested.
    error_bound: Takes float64 [n]; returns the largest squared error that decoding may make of it, rounding of floats
      apart. Or a string: why there is no bound.
    deterministic: Whether the payload depends on nothing but the values and the shared seed.
    shares_draw: Whether what is drawn is the same for all clients of a round, so that their errors do not average out.
    fixed_size: Whether the size of the payload is known beforehand.
    rounding: Part of the norm of x by which rounding of floats may exceed the bound.
    wrap: Makes the codec one for updates.
    final_loss: Reached after 30 rounds of least squares.
  """

  name: str
  stages: Callable[[], tuple[stage_lib.Stage, ...]]
  golden_bytes: int
  unbiased: bool
  error_bound: Callable[[np.ndarray], float] | str
  deterministic: bool = False
  shares_draw: bool = False
  fixed_size: bool = True
  rounding: float = 1e-6
  wrap: Callable[[codec_lib.Codec], update_codec.UpdateCodec] = update_codec.UpdateCodec
  final_loss: float = 1e-3

  def codec(self) -> codec_lib.Codec:
    """Returns a fresh codec."""
    return codec_lib.Codec(self.stages())

  def update_codec(self) -> update_codec.UpdateCodec:
    """Returns a fresh codec for updates."""
    return self.wrap(self.codec())


def check_extreme_values(row: Row) -> None:
  """3. Zero stays exactly zero; constant, huge and denormal values stay finite."""
  run = _round_trip(row)
  decoded = run(np.zeros([_SIZE], np.float32), [1, 1], [2, 2])[1].numpy()
  np.testing.assert_array_equal(decoded, np.zeros([_SIZE]), f'{row.name}: zero does not stay zero')
  signs = np.where(np.arange(_SIZE) % 2, 1, -1)
  for value in (3.7, -3.7, 1e30, _LARGEST, -_LARGEST, 1e-40, 1.2e-38):
    for x in (
      np.full([_SIZE], value),
      value * signs,
      value * (np.arange(_SIZE) == 5),
      value * np.arange(_SIZE) / _SIZE,
    ):
      _, decoded = run(x.astype(np.float32), [1, 1], [2, 2])
      assert np.all(np.isfinite(decoded)), f'{row.name}: {x[:6]}... decodes to {decoded[:6]}...'


def check_wire(row: Row) -> None:
  """4a. Raw bytes are all that a fresh codec needs: nothing passes by the payload, and every byte of it is counted."""
  spec, seeds = tf.TensorSpec([_SIZE]), seed_pair([1, 1], [2, 2])
  sender, receiver = row.codec(), row.codec()
  payload = sender.encode(tf.constant(normal([_SIZE], 1)), *seeds)
  octets = to_bytes(payload)
  assert sum(map(len, octets)) == codec_lib.num_bytes(payload), f'{row.name}: bytes are miscounted'
  assert all(tensor.shape.rank == 1 for tensor in tf.nest.flatten(payload)), f'{row.name}: not of rank 1'
  dtypes = [tensor.dtype.as_numpy_dtype for tensor in tf.nest.flatten(payload)]
  arrays = [tf.constant(np.frombuffer(*part).copy()) for part in zip(octets, dtypes, strict=True)]
  received = tf.nest.pack_sequence_as(payload, arrays)
  try:
    decoded = sender.decode(payload, spec, seeds[1]).numpy()
    # Overwrites what a class or a module may remember.
    receiver.decode(sender.encode(tf.constant(normal([_SIZE], 2)), *seeds), spec, seeds[1])
    again = receiver.decode(received, spec, seeds[1]).numpy()
  except Exception as error:
    raise AssertionError(f'{row.name}: the payload alone cannot be decoded') from error
  np.testing.assert_array_equal(again, decoded, f'{row.name}: a fresh codec decodes the bytes to something else')


def check_golden_bytes(row: Row) -> None:
  """5. A payload has the number of bytes that was worked out by hand; whether it depends on the values is known."""
  codec, seeds = row.update_codec(), seed_pair([1, 1], [2, 2])

  def size(values):
    sent = codec.encode(values, tf.fill([len(values)], True), *seeds)
    return sum(map(len, to_bytes(sent.payloads)))

  golden = size([tf.constant(normal(shape, 0)) for shape in _GOLDEN_SHAPES])
  assert golden == row.golden_bytes, f'{row.name}: {golden} bytes, not {row.golden_bytes}'
  zeros = size([tf.zeros(shape) for shape in _GOLDEN_SHAPES])
  assert (zeros == golden) == row.fixed_size, f'{row.name}: {zeros} bytes for zeros, {golden} for other values'


def check_error_bound(row: Row) -> None:
  """6. The squared error is within the bound of the row."""
  if isinstance(row.error_bound, str):
    return
  run = _round_trip(row)
  values = strategies.floats(-(2.0**20), 2.0**20, width=32)
  seeds = strategies.integers(0, 2**62)
  mostly_equal = numpy_strategies.arrays(np.float32, _SIZE, elements=values, fill=values)
  heavy_tailed = seeds.map(lambda seed: np.random.default_rng(seed).standard_t(2, _SIZE).astype(np.float32))

  @hypothesis.given(strategies.one_of(mostly_equal, heavy_tailed), seeds)
  def check(x, seed):
    _, decoded = run(x, [seed, 1], [seed, 2])
    exact = x.astype(np.float64)
    error = np.linalg.norm(decoded.numpy() - exact)
    bound = np.sqrt(row.error_bound(exact)) + row.rounding * np.linalg.norm(exact) + 1e-36
    assert error <= bound, f'{row.name}: an error of norm {error}, above {bound}'

  check()


def check_bias(row: Row) -> None:
  """7. The mean of many decoded values is x within 5 standard errors, on every coordinate, if the row says so; or not."""
  run = _round_trip(row)

  @tf.function(autograph=False)
  def draw(x):
    def draw_one(i):
      return run(x, tf.stack([i, 1]), tf.stack([i, 2]))[1]

    return tf.map_fn(draw_one, tf.range(_DRAWS, dtype=tf.int64), fn_output_signature=tf.TensorSpec([_SIZE]))

  rng = np.random.default_rng(0)
  dense = rng.uniform(0.5, 1.5, _SIZE) * rng.choice([-1, 1], _SIZE)
  dense[:2] = 4, -3.5  # Beyond 2.5 standard deviations.
  sparse = np.where(np.arange(_SIZE) < 2, [1.0, 0.5] * (_SIZE // 2), 0.0)
  excess = []
  for x in (dense, sparse):
    drawn = draw(tf.constant(x, tf.float32)).numpy().astype(np.float64)
    # No less than the average variance, because a rare step up may not be in the sample at all.
    variance = drawn.var(axis=0, ddof=1)
    standard_error = np.sqrt(np.maximum(variance, np.mean(variance)) / _DRAWS)
    excess.append(np.max(np.abs(drawn.mean(axis=0) - x) - 5 * standard_error) - 1e-6 * np.max(np.abs(x)))
  found = 'biased' if max(excess) > 0 else 'unbiased'
  assert (found == 'unbiased') == row.unbiased, f'{row.name} is {found}: 5 standard errors are exceeded by {excess}'


def check_randomness(row: Row) -> None:
  """8. Equal seeds give equal payloads; other clients draw other noise, unless the row says that there is none."""
  run, x = _round_trip(row), normal([_SIZE], 1)

  def octets(client_seed):
    return to_bytes(run(x, [client_seed, 1], [2, 2])[0])

  assert octets(1) == octets(1), f'{row.name}: equal seeds give different payloads'
  same = all(octets(1) == octets(seed) for seed in range(2, 6))
  assert same == row.deterministic, f'{row.name}: clients draw {"the same" if same else "different"} noise'


def check_sum(row: Row) -> None:
  """9a. Terms may be added up, with weights, before the leading linear stages are undone, which lengthens no sum."""
  codec, spec, seeds = row.codec(), tf.TensorSpec([_SIZE]), seed_pair([1, 1], [2, 2])
  payloads = [codec.encode(tf.constant(normal([_SIZE], i)), *seeds) for i in range(2)]
  terms = [codec.decode_term(payload, spec, seeds[1]) for payload in payloads]
  decoded = [codec.decode(payload, spec, seeds[1]) for payload in payloads]
  total = codec.decode_sum(2.0 * terms[0] + terms[1], spec, seeds[1])
  assert_close([total], [2.0 * decoded[0] + decoded[1]], f'{row.name}: decoding does not commute with addition')
  if not codec.not_linear:
    assert np.linalg.norm(total) <= np.linalg.norm(2.0 * terms[0] + terms[1]) * (1 + 1e-5), (
      f'{row.name}: a sum is longer'
    )


def check_independence(row: Row) -> None:
  """9c. What clients of one round draw is their own, or they share it: the variance of the mean of n of them is an n-th of
  that of one, or as large; for an unbiased codec, so is the mean squared error."""
  run, x, num_clients = _round_trip(row), normal([_SIZE], 4), 8
  num_rounds = _DRAWS // num_clients

  @tf.function(autograph=False)
  def draw():
    def draw_one(i):
      return run(x, tf.stack([i, 1]), tf.stack([i // num_clients, 2]))[1]

    return tf.map_fn(draw_one, tf.range(_DRAWS, dtype=tf.int64), fn_output_signature=tf.TensorSpec([_SIZE]))

  drawn = draw().numpy().astype(np.float64).reshape([num_rounds, num_clients, _SIZE])
  errors = drawn - (x if row.unbiased else drawn.mean(axis=(0, 1)))
  of_one, of_mean = np.mean(errors**2), np.mean(errors.mean(axis=1) ** 2)
  # Twice as much by chance: with the sum of 32 rounds' squares, that is 4 standard deviations at the least.
  ratio = of_mean / max(of_one / num_clients, 1e-10 * np.mean(x**2))
  if row.shares_draw:
    assert ratio > num_clients / 2, f'{row.name}: clients do not share what they draw'
  else:
    assert ratio < 2, f'{row.name}: the error of the mean of {num_clients} clients is {ratio} times an {num_clients}th'


def check_modes(row: Row) -> None:
  """10a. Eager TensorFlow and a graph agree: to the byte on the payload, up to rounding on what it decodes to."""
  x, spec, seeds = normal([_SIZE], 1), tf.TensorSpec([_SIZE]), seed_pair([1, 1], [2, 2])
  payload, decoded = _round_trip(row)(x, *seeds)
  codec = row.codec()
  eager = codec.encode(tf.constant(x), *seeds)
  assert to_bytes(eager) == to_bytes(payload), f'{row.name}: the payloads of eager TensorFlow and a graph differ'
  assert_close([codec.decode(eager, spec, seeds[1])], [decoded], f'{row.name}: decoded eagerly and in a graph')


def check_refusal(row: Row) -> None:
  """14. A payload with an element too few or too many is refused by an error that names the codec."""
  codec, spec, seeds = row.codec(), tf.TensorSpec([_SIZE]), seed_pair([1, 1], [2, 2])
  payload = codec.encode(tf.constant(normal([_SIZE], 1)), *seeds)
  names = [str(codec), *str(codec).split('|')]
  flat = tf.nest.flatten(payload)
  for index, tensor in enumerate(flat):
    for wrong in (tensor[:-1], tf.concat([tensor, tensor[-1:]], axis=0)):
      changed = tf.nest.pack_sequence_as(payload, [*flat[:index], wrong, *flat[index + 1 :]])
      try:
        codec.decode(changed, spec, seeds[1])
      except tf.errors.InvalidArgumentError as error:
        text = str(error).replace('_', '')
        assert any(name in text for name in names), f'{row.name}: the refusal does not name the codec: {text}'
      else:
        raise AssertionError(f'{row.name}: {wrong.shape[0]} instead of {tensor.shape[0]} elements are not refused')


LAWS: tuple[Callable[[Row], None], ...] = (
  check_extreme_values,
  check_wire,
  check_golden_bytes,
  check_error_bound,
  check_bias,
  check_randomness,
  check_sum,
  check_independence,
  check_modes,
  check_refusal,
)


def to_bytes(tensors: codec_lib.Payload | update_codec.Sent) -> list[bytes]:
  """Returns what travels of every tensor."""
  return [tensor.numpy().tobytes() for tensor in tf.nest.flatten(tensors)]


def normal(shape: Sequence[int], seed: int) -> np.ndarray:
  """Returns float32 values that depend on nothing but the arguments."""
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def seed_pair(client_seed: Sequence[int], shared_seed: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the two seeds of `Codec.encode`."""
  return tf.constant(client_seed, tf.int64), tf.constant(shared_seed, tf.int64)


def assert_close(found: Sequence[tf.Tensor], expected: Sequence[tf.Tensor], message: str) -> None:
  """Compares tensors one by one, up to rounding of values as large as the largest."""
  for left, right in zip(found, expected, strict=True):
    scale = np.max(np.abs(right), initial=0.0)
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5 * scale, err_msg=message)


@functools.cache
def _round_trip(row: Row) -> Callable[..., tuple[codec_lib.Payload, tf.Tensor]]:
  """Returns a graph from (x, client_seed, shared_seed) to the payload and what it decodes to."""
  codec, spec, seed = row.codec(), tf.TensorSpec([_SIZE]), tf.TensorSpec([2], tf.int64)

  @tf.function(input_signature=[spec, seed, seed], autograph=False)
  def run(x, client_seed, shared_seed):
    payload = codec.encode(x, client_seed, shared_seed)
    return payload, codec.decode(payload, spec, shared_seed)

  return run
