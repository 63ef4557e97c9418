"""The codec conformance kit: laws that hold for every codec, for those of this repository and for your own.

A codec is described by a `Row`; what is special about it is a field of the row, never an exception in a law. A law is a
function that takes a row and raises `AssertionError` if the codec breaks it:

    row = Row('mine', stages=lambda: (Mine(),), golden_bytes=1014, unbiased=True, error_bound=lambda x: ...)
    for law in LAWS:
      law(row)

Laws on federated rounds need a TFF context. LEANFED_STRESS=1 draws ten times as much noise.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import os
import pathlib
import tempfile

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import partial_mean
from compression import stage as stage_lib
from compression import update_codec
from optimizers import algorithms
from optimizers import local_batches
from tests import tiny_task

_DRAWS = 2560 if os.environ.get('LEANFED_STRESS') == '1' else 256
_SIZE = 64  # Values of the tensors that most laws encode; a power of two, so that a rotation needs no padding.
_SHAPES = ((), (0,), (1,), (3, 5))
_UPDATE_SHAPES = ((16, 8), (6,), (), (0,))  # Of a federated update.
_GOLDEN_SHAPES = ((1000,), (6,))
_LEARNING_RATE = 0.2
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


def check_types(row: Row) -> None:
  """1. `next` maps updates to their difference; bytes are int64 scalars; all of it is at the server."""
  signature = _process(row).next.type_signature
  assert signature.parameter[0].placement == tff.SERVER
  assert signature.result.state.placement == tff.SERVER
  tff.types.assert_types_equivalent(signature.result.result, tff.FederatedType(_delta_type(), tff.SERVER))
  measurements = signature.result.measurements
  assert measurements.placement == tff.SERVER
  for name in ('upload_bytes', 'upload_bytes_values', 'upload_bytes_side', 'upload_bytes_weights'):
    tff.types.assert_types_equivalent(measurements.member[name], tff.TensorType(np.int64))


def check_shapes(row: Row) -> None:
  """2. Tensors come back in their shape: scalar, empty, of length 1, matrix, mixed; an unknown rank is refused."""
  for shape in _SHAPES:
    _, decoded = _round_trip(row, shape)(np.ones(shape, np.float32), [1, 1], [2, 2])
    assert decoded.shape == shape, f'{row.name}: {shape} comes back as {decoded.shape}'
  assert [x.shape for x in _run(row, [_update(1)]).result] == list(_UPDATE_SHAPES)
  unknown = tff.types.to_type((tff.TensorType(np.float32, None),))
  try:
    factory = partial_mean.PartialMeanFactory(row.update_codec())
    factory.create(partial_mean.update_type(unknown), tff.TensorType(np.float32))
  except TypeError:
    return
  raise AssertionError(f'{row.name}: a tensor of unknown rank is not refused')


def check_extreme_values(row: Row) -> None:
  """3. Zero stays exactly zero; constant, huge and denormal values stay finite."""
  run = _round_trip(row, (_SIZE,))
  decoded = run(np.zeros([_SIZE], np.float32), [1, 1], [2, 2])[1].numpy()
  np.testing.assert_array_equal(decoded, np.zeros([_SIZE]), f'{row.name}: zero does not stay zero')
  signs = np.where(np.arange(_SIZE) % 2, 1, -1)
  for value in (3.7, -3.7, 1e30, _LARGEST, -_LARGEST, 1e-40, 1.2e-38):
    for x in (np.full([_SIZE], value), value * signs, value * (np.arange(_SIZE) == 5), value * np.arange(_SIZE) / _SIZE):
      _, decoded = run(x.astype(np.float32), [1, 1], [2, 2])
      assert np.all(np.isfinite(decoded)), f'{row.name}: {x[:6]}... decodes to {decoded[:6]}...'


def check_wire(row: Row) -> None:
  """4a. Raw bytes are all that a fresh codec needs: nothing passes by the payload, and every byte of it is counted."""
  x, spec = _normal([_SIZE], 1), tf.TensorSpec([_SIZE])
  sender, receiver = row.codec(), row.codec()
  seeds = _seeds([1, 1], [2, 2])
  payload = sender.encode(tf.constant(x), *seeds)
  decoded = sender.decode(payload, spec, seeds[1]).numpy()
  octets = _to_bytes(payload)
  assert sum(map(len, octets)) == codec_lib.num_bytes(payload), f'{row.name}: bytes are miscounted'
  assert all(tensor.shape.rank == 1 for tensor in tf.nest.flatten(payload)), f'{row.name}: not of rank 1'
  arrays = [
    np.frombuffer(part, like.dtype.as_numpy_dtype).copy()
    for part, like in zip(octets, tf.nest.flatten(payload), strict=True)
  ]
  received = tf.nest.pack_sequence_as(payload, [tf.constant(array) for array in arrays])
  other = sender.encode(tf.constant(_normal([_SIZE], 2)), *seeds)  # Overwrites what a class or a module remembers.
  receiver.decode(other, spec, seeds[1])
  try:
    again = receiver.decode(received, spec, seeds[1]).numpy()
  except Exception as error:
    raise AssertionError(f'{row.name}: a fresh codec cannot decode the bytes of another') from error
  np.testing.assert_array_equal(again, decoded, f'{row.name}: a fresh codec decodes the bytes to something else')


def check_upload_bytes(row: Row) -> None:
  """4b. `upload_bytes` of a round is the size of the files that its clients could send, unsent variables included."""
  clients = [(1, (True, True, True, True)), (2, (False, True, True, True)), (3, (False, False, True, True))]
  updates = [_update(seed, trained) for seed, trained in clients]
  measured = _run(row, updates).measurements
  codec = row.update_codec()
  with tempfile.TemporaryDirectory() as folder:
    for index, update in enumerate(updates):
      tensors = [*_to_bytes(_send(codec, update)), np.float32(1.0).tobytes()]  # Payloads, bitmap, and the weight.
      pathlib.Path(folder, str(index)).write_bytes(b''.join(tensors))
    sizes = [path.stat().st_size for path in pathlib.Path(folder).iterdir()]
  assert measured['upload_bytes'] == sum(sizes), f'{row.name}: {measured["upload_bytes"]} bytes, not {sum(sizes)}'
  assert measured['upload_bytes_per_client_max'] == max(sizes), f'{row.name}: the largest file is of {max(sizes)} bytes'


def check_golden_bytes(row: Row) -> None:
  """5. A payload has the number of bytes that was worked out by hand; whether it depends on the values is known."""
  codec, seeds = row.update_codec(), _seeds([1, 1], [2, 2])

  def size(values):
    sent = codec.encode(values, tf.fill([len(values)], True), *seeds)
    return sum(map(len, _to_bytes(sent.payloads)))

  golden = size([tf.constant(_normal(shape, 0)) for shape in _GOLDEN_SHAPES])
  assert golden == row.golden_bytes, f'{row.name}: {golden} bytes, not {row.golden_bytes}'
  zeros = size([tf.zeros(shape) for shape in _GOLDEN_SHAPES])
  assert (zeros == golden) == row.fixed_size, f'{row.name}: {zeros} bytes for zeros, {golden} for other values'


def check_error_bound(row: Row) -> None:
  """6. The squared error is within the bound of the row."""
  if isinstance(row.error_bound, str):
    return
  run = _round_trip(row, (_SIZE,))
  values = strategies.floats(-(2.0**20), 2.0**20, width=32)
  seeds = strategies.integers(0, 2**62)

  @hypothesis.given(numpy_strategies.arrays(np.float32, _SIZE, elements=values, fill=values), seeds)
  def check(x, seed):
    _, decoded = run(x, [seed, 1], [seed, 2])
    exact = x.astype(np.float64)
    error = np.linalg.norm(decoded.numpy() - exact)
    bound = np.sqrt(row.error_bound(exact)) + row.rounding * np.linalg.norm(exact) + 1e-36
    assert error <= bound, f'{row.name}: an error of norm {error}, above {bound}'

  check()


def check_bias(row: Row) -> None:
  """7. The mean of many decoded values is x within 5 standard errors, on every coordinate, if the row says so; or not."""
  run = _round_trip(row, (_SIZE,))

  @tf.function
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
    standard_error = drawn.std(axis=0, ddof=1) / np.sqrt(_DRAWS)
    excess.append(np.max(np.abs(drawn.mean(axis=0) - x) - 5 * standard_error) - 1e-6 * np.max(np.abs(x)))
  found = 'biased' if max(excess) > 0 else 'unbiased'
  assert (found == 'unbiased') == row.unbiased, f'{row.name} is {found}: 5 standard errors are exceeded by {excess}'


def check_randomness(row: Row) -> None:
  """8. Equal seeds give equal payloads; other clients draw other noise, unless the row says that there is none."""
  run, x = _round_trip(row, (_SIZE,)), _normal([_SIZE], 1)

  def octets(client_seed):
    return _to_bytes(run(x, [client_seed, 1], [2, 2])[0])

  assert octets(1) == octets(1), f'{row.name}: equal seeds give different payloads'
  same = all(octets(1) == octets(seed) for seed in range(2, 6))
  assert same == row.deterministic, f'{row.name}: clients draw {"the same" if same else "different"} noise'


def check_sum(row: Row) -> None:
  """9. Equal clients have the mean of one; the order of clients does not matter; terms may be summed, then decoded."""
  one = _run(row, [_update(1)]).result
  client_seeds = [1, 2, 3] if row.deterministic else [1, 1, 1]
  equal = _run(row, [_update(1, client_seed=seed) for seed in client_seeds]).result
  _assert_close(equal, one, f'{row.name}: three equal clients are not like one')
  updates = [_update(seed) for seed in (1, 2, 3)]
  mean = _run(row, updates, [1.0, 2.0, 3.0]).result
  _assert_close(_run(row, updates[::-1], [3.0, 2.0, 1.0]).result, mean, f'{row.name}: the order of clients matters')
  codec, spec, seeds = row.codec(), tf.TensorSpec([_SIZE]), _seeds([1, 1], [2, 2])
  payloads = [codec.encode(tf.constant(_normal([_SIZE], i)), *seeds) for i in range(2)]
  terms = [codec.decode_term(payload, spec, seeds[1]) for payload in payloads]
  decoded = [codec.decode(payload, spec, seeds[1]) for payload in payloads]
  total = codec.decode_sum(2.0 * terms[0] + terms[1], spec, seeds[1])
  _assert_close([total], [2.0 * decoded[0] + decoded[1]], f'{row.name}: decoding does not commute with addition')


def check_modes(row: Row) -> None:
  """10. Eager TensorFlow, a graph and a federated round agree."""
  x, spec, seeds = _normal([_SIZE], 1), tf.TensorSpec([_SIZE]), _seeds([1, 1], [2, 2])
  payload, decoded = _round_trip(row, (_SIZE,))(x, *seeds)
  codec = row.codec()
  eager = codec.encode(tf.constant(x), *seeds)
  assert _to_bytes(eager) == _to_bytes(payload), f'{row.name}: the payloads of eager TensorFlow and a graph differ'
  _assert_close([codec.decode(eager, spec, seeds[1])], [decoded], f'{row.name}: decoded eagerly and in a graph')
  update, codec = _update(1), row.update_codec()
  specs = [tf.TensorSpec(shape) for shape in _UPDATE_SHAPES]
  by_hand = codec.decode(_send(codec, update), specs, tf.constant(update['shared_seed']))
  _assert_close(_run(row, [update]).result, by_hand, f'{row.name}: the federated mean of one client')


def check_refusal(row: Row) -> None:
  """11. A payload with an element too few or too many is refused by an error that names the codec."""
  codec, spec, seeds = row.codec(), tf.TensorSpec([_SIZE]), _seeds([1, 1], [2, 2])
  payload = codec.encode(tf.constant(_normal([_SIZE], 1)), *seeds)
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


def check_learns(row: Row) -> None:
  """12. Least squares of two clients reaches the loss of the row in 30 rounds of federated averaging."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=[2, 32, 2])
  y = x @ [1.0, -2.0] + 0.5
  clients = [tiny_task.client(x[k], y[k], client_key=k) for k in range(2)]
  communication = algorithms.Communication(upload=row.update_codec())
  algorithm = algorithms.fed_avg(client_lr=_LEARNING_RATE)
  process = algorithm(tiny_task.linear_task(), communication, local_batches.LocalBatches(), 1)
  state = process.initialize()
  for _ in range(30):
    state = process.next(state, clients).state
  kernel, bias = state.global_model_weights.trainable
  loss = 0.5 * np.mean(np.square(x @ kernel + bias - y))
  assert loss <= row.final_loss, f'{row.name}: a loss of {loss} after 30 rounds, not {row.final_loss}'


LAWS: tuple[Callable[[Row], None], ...] = (
  check_types,
  check_shapes,
  check_extreme_values,
  check_wire,
  check_upload_bytes,
  check_golden_bytes,
  check_error_bound,
  check_bias,
  check_randomness,
  check_sum,
  check_modes,
  check_refusal,
)  # `check_learns` takes seconds; run it for one row of a kind.


@functools.lru_cache(maxsize=None)
def _round_trip(row: Row, shape: tuple[int, ...]) -> Callable[..., tuple[codec_lib.Payload, tf.Tensor]]:
  """Returns a graph from (x, client_seed, shared_seed) to the payload and what it decodes to."""
  codec, spec, seed = row.codec(), tf.TensorSpec(shape), tf.TensorSpec([2], tf.int64)

  @tf.function(input_signature=[spec, seed, seed])
  def run(x, client_seed, shared_seed):
    payload = codec.encode(x, client_seed, shared_seed)
    return payload, codec.decode(payload, spec, shared_seed)

  return run


@functools.lru_cache(maxsize=None)
def _process(row: Row) -> tff.templates.AggregationProcess:
  factory = partial_mean.PartialMeanFactory(row.update_codec())
  return factory.create(partial_mean.update_type(_delta_type()), tff.TensorType(np.float32))


def _delta_type() -> tff.types.StructType:
  return tff.types.to_type(tuple((np.float32, shape) for shape in _UPDATE_SHAPES))


def _update(seed: int, trained: Sequence[bool] = (True,) * 4, client_seed: int | None = None) -> collections.OrderedDict:
  return collections.OrderedDict(
    delta=tuple(_normal(shape, seed) for shape in _UPDATE_SHAPES),
    trained=np.array(trained),
    client_seed=np.array([seed if client_seed is None else client_seed, 0], np.int64),
    shared_seed=np.array([5, 6], np.int64),
  )


def _run(row: Row, updates: Sequence[collections.OrderedDict], weights: Sequence[float] = ()):
  process = _process(row)
  return process.next(process.initialize(), updates, [np.float32(weight) for weight in weights or [1.0] * len(updates)])


def _send(codec: update_codec.UpdateCodec, update: collections.OrderedDict) -> update_codec.Sent:
  tensors = [tf.constant(x) for x in update['delta']]
  return codec.encode(tensors, *(tf.constant(update[name]) for name in ('trained', 'client_seed', 'shared_seed')))


def _to_bytes(tensors: codec_lib.Payload | update_codec.Sent) -> list[bytes]:
  return [tensor.numpy().tobytes() for tensor in tf.nest.flatten(tensors)]


def _normal(shape: Sequence[int], seed: int) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _seeds(client_seed: Sequence[int], shared_seed: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
  return tf.constant(client_seed, tf.int64), tf.constant(shared_seed, tf.int64)


def _assert_close(found: Sequence[tf.Tensor], expected: Sequence[tf.Tensor], message: str) -> None:
  for left, right in zip(found, expected, strict=True):
    scale = max([0.0, *np.abs(np.asarray(right)).flatten()])
    np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5 * scale, err_msg=message)
