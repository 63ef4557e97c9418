"""The codec conformance kit, continued: laws on federated rounds. They need a TFF context.

The rounds are of `PartialMeanFactory`, over an update of a matrix, a vector of length 1, a scalar and an empty tensor.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import functools
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import partial_mean
from compression import sent_update
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise
from compression.privacy import private_mean
from compression.secure_sums import modular
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import tiny_task
from tests.compression import conformance
from tests.compression.conformance import Row

_SHAPES = ((16, 8), (1,), (), (0,))
_SPECS = [tf.TensorSpec(shape) for shape in _SHAPES]
_DELTA = tff.types.to_type(tuple((np.float32, shape) for shape in _SHAPES))
_RESULT = tff.types.to_type(collections.OrderedDict(delta=_DELTA, trained=tff.TensorType(np.bool_, [len(_SHAPES)])))


def check_types(row: Row) -> None:
  """1. `next` maps updates to their mean and what it is of; bytes are int64 scalars; all of it is at the server."""
  result = _process(row).next.type_signature.result
  assert result.state.placement == tff.SERVER
  assert result.result.is_equivalent_to(tff.FederatedType(_RESULT, tff.SERVER)), f'{row.name}: {result.result}'
  assert result.measurements.placement == tff.SERVER
  for name in ('upload_bytes', 'upload_bytes_values', 'upload_bytes_side', 'upload_bytes_weights'):
    assert result.measurements.member[name] == tff.TensorType(np.int64), f'{row.name}: {name}'


def check_shapes(row: Row) -> None:
  """2. Matrix, vector, scalar and empty tensor come back as they were; a tensor of unknown rank is refused."""
  result = _run(row, [_update(1)]).result['delta']
  assert tuple(np.shape(x) for x in result) == _SHAPES, f'{row.name}: {result}'
  unknown = tff.types.to_type((tff.TensorType(np.float32, None),))
  try:
    _create(row, unknown)
  except TypeError:
    return
  raise AssertionError(f'{row.name}: a tensor of unknown rank is not refused')


def check_upload_bytes(row: Row) -> None:
  """4b. `upload_bytes` of a round is the size of the files that its clients could send, unsent variables included."""
  clients = [(1, (True, True, True, True)), (2, (False, True, True, True)), (3, (False, False, True, True))]
  updates = [_update(seed, trained) for seed, trained in clients]
  measured = _run(row, updates).measurements
  with tempfile.TemporaryDirectory() as folder:
    for index, update in enumerate(updates):
      payloads_and_bitmap = conformance.to_bytes(_send(row, update))
      pathlib.Path(folder, str(index)).write_bytes(b''.join([*payloads_and_bitmap, np.float32(1.0).tobytes()]))
    sizes = [path.stat().st_size for path in pathlib.Path(folder).iterdir()]
  assert measured['upload_bytes'] == sum(sizes), f'{row.name}: {measured["upload_bytes"]} bytes, not {sum(sizes)}'
  assert measured['upload_bytes_per_client_max'] == max(sizes), f'{row.name}: the largest file is of {max(sizes)} bytes'


def check_mean(row: Row) -> None:
  """9b. Equal clients have the mean of one of them; the order of clients does not matter."""
  one = _run(row, [_update(1)]).result['delta']
  client_seeds = [1, 2, 3] if row.deterministic else [1, 1, 1]
  equal = _run(row, [_update(1, client_seed=seed) for seed in client_seeds]).result['delta']
  conformance.assert_close(equal, one, f'{row.name}: three equal clients are not like one')
  updates = [_update(seed) for seed in (1, 2, 3)]
  mean = _run(row, updates, [1.0, 2.0, 3.0]).result['delta']
  reverse = _run(row, updates[::-1], [3.0, 2.0, 1.0]).result['delta']
  conformance.assert_close(reverse, mean, f'{row.name}: the order of clients matters')


def check_federated_mode(row: Row) -> None:
  """10b. The mean of one client is what eager TensorFlow decodes."""
  update = _update(1)
  eager = row.update_codec().decode(_send(row, update), _SPECS, tf.constant(update['shared_seed']))
  conformance.assert_close(
    _run(row, [update]).result['delta'], eager, f'{row.name}: a federated round and eager TensorFlow'
  )


def check_private_bound(row: Row) -> None:
  """11b. A private mean moves by no more than the bound for a client, however large its update is."""
  mechanism = mechanism_lib.Mechanism(noise.Independent(), 1e-12, bound=0.5, num_clients=1, seed=1)
  factory = private_mean.PrivateMeanFactory(row.update_codec(), mechanism)
  process = factory.create(sent_update.update_type(_DELTA), tff.TensorType(np.float32))
  state = process.initialize()
  for scale in (1e-3, 1.0, 1e6):
    update = _update(1)
    update['delta'] = tuple(np.float32(scale) * each for each in update['delta'])
    delta = process.next(state, [update], [np.float32(1.0)]).result['delta']
    norm = np.sqrt(sum(np.sum(np.square(np.asarray(each, np.float64))) for each in delta))
    assert norm <= 0.5 * (1 + 1e-6), f'{row.name}: a norm of {norm}, of at most 0.5'


def check_unseen_bound(row: Row) -> None:
  """11c. So does one of a secure sum, of which the server sees no client, for every codec that can be added up unseen."""
  if row.codec().not_linear or row.update_codec().small.not_linear:
    return
  mechanism = mechanism_lib.Mechanism(noise.Silent(), 0.0, bound=0.5, num_clients=1, seed=1)
  plan = modular.Modular(bits=12).planned(most_clients=1)
  factory = private_mean.PrivateMeanFactory(row.update_codec(), mechanism, secure_sum=plan)
  process = factory.create(sent_update.update_type(_DELTA), tff.TensorType(np.float32))
  for scale in (1e-3, 1.0, 1e6):
    update = _update(1)
    update['delta'] = tuple(np.float32(scale) * each for each in update['delta'])
    done = process.next(process.initialize(), [update], [np.float32(1.0)])
    norm = np.sqrt(sum(np.sum(np.square(np.asarray(each, np.float64))) for each in done.result['delta']))
    assert norm <= 0.5 * (1 + 1e-6), f'{row.name}: a norm of {norm} unseen, of at most 0.5'
    assert scale < 1.0 or norm > 0.1, f'{row.name}: nothing is left of an update in a secure sum'


def check_learns(row: Row) -> None:
  """12. Least squares of two clients reaches the loss of the row in 30 rounds of federated averaging."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=[2, 32, 2])
  y = x @ [1.0, -2.0] + 0.5
  clients = [tiny_task.client(x[k], y[k], client_key=k) for k in range(2)]
  communication = algorithms.Communication(upload=row.update_codec())
  algorithm = fed_opt.fed_avg(client_lr=0.2)
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
  check_upload_bytes,
  check_mean,
  check_federated_mode,
  check_private_bound,
  check_unseen_bound,
)  # And `check_learns`, which takes seconds.


@functools.cache
def _process(row: Row) -> tff.templates.AggregationProcess:
  return _create(row, _DELTA)


def _create(row: Row, delta_type: tff.types.StructType) -> tff.templates.AggregationProcess:
  # With distortion, so that payloads are decoded in the graph that counts them, the harder case.
  factory = partial_mean.PartialMeanFactory(row.update_codec(), measure_distortion=True)
  return factory.create(sent_update.update_type(delta_type), tff.TensorType(np.float32))


def _update(
  seed: int, trained: Sequence[bool] = (True,) * 4, client_seed: int | None = None
) -> collections.OrderedDict:
  return collections.OrderedDict(
    delta=tuple(conformance.normal(shape, seed) for shape in _SHAPES),
    trained=np.array(trained),
    client_seed=np.array([seed if client_seed is None else client_seed, 0], np.int64),
    shared_seed=np.array([5, 6], np.int64),
    answers=True,
  )


def _run(row: Row, updates: Sequence[collections.OrderedDict], weights: Sequence[float] = ()):
  process = _process(row)
  return process.next(process.initialize(), updates, [np.float32(weight) for weight in weights or [1.0] * len(updates)])


@functools.cache
def _encoding(row: Row) -> Callable[..., update_codec.Sent]:
  return tf.function(row.update_codec().encode, autograph=False)


def _send(row: Row, update: collections.OrderedDict) -> update_codec.Sent:
  tensors = [tf.constant(x) for x in update['delta']]
  seeds = (tf.constant(update[name]) for name in ('client_seed', 'shared_seed'))
  return _encoding(row)(tensors, tf.constant(update['trained']), *seeds)
