"""The measurement behind `--what=select`: what a coarser key of federated select saves in time and costs in rows missed."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import slices
from data import catalog
from data import partitions
from data import prepare
from experiments.benchmarks import rounds as benchmark_rounds
from models import model as model_lib

_WIDTH, _SELECTING_CLIENTS, _COVERED_CLIENTS = 128, 10, 50
_NUM_ROWS = (1000, 500, 250)
_ROWS_PER_KEY = (1, 4, 16)
_NUM_SPECIAL = 4  # Padding, begin, end and unknown, which every client receives.


def print_table(repeats: int) -> None:
  """Prints, for each number of rows that clients receive and of rows a key stands for, time and coverage.

  Seconds are those of a `tff.federated_select` of a vocabulary of [size, 128] to 10 clients; coverage is the fraction of
  the clients' own tokens, padding left out, whose rows they receive, over 50 clients of the docstrings.
  """
  text = prepare.prepare(catalog.DATASETS['docstrings'](), partitions.natural())
  client_ids = text.client_ids('train')[:: len(text.client_ids('train')) // _COVERED_CLIENTS][:_COVERED_CLIENTS]
  size = text.vocabulary_size
  counts = [np.bincount(text.tokens('train', [each]).ravel(), minlength=size) for each in client_ids]
  distinct = np.mean([np.count_nonzero(each) for each in counts])
  print(f'{size} rows of {_WIDTH}, {_SELECTING_CLIENTS} clients, {distinct:.0f} sub-words a client, {repeats} rounds')
  print(f'{"rows":>5} {"rows a key":>11} {"keys":>5} {"s a round":>10} {"us a key":>9} {"tokens covered":>15}')
  for num_rows in _NUM_ROWS:
    keys = {per_key: [_keys(each, num_rows, per_key) for each in counts] for per_key in _ROWS_PER_KEY}
    rounds = {str(per_key): _round(chosen, size, per_key) for per_key, chosen in keys.items()}
    seconds = benchmark_rounds.alternate(rounds, repeats)
    for per_key, chosen in keys.items():
      time, num_keys = seconds[str(per_key)], len(chosen[0])
      covered = sum(_covered(*each, per_key) for each in zip(counts, chosen, strict=True))
      share = covered / sum(each[1:].sum() for each in counts)
      per_select = 1e6 * time / num_keys / _SELECTING_CLIENTS
      print(f'{num_rows:5} {per_key:11} {num_keys:5} {time:10.3f} {per_select:9.0f} {share:15.4f}', flush=True)


def _keys(counts: np.ndarray, num_rows: int, per_key: int) -> np.ndarray:
  """Returns a client's keys as `optimizers.selection` chooses them: int32, ascending."""
  scores = counts.reshape([-1, per_key]).sum(axis=1)
  scores[: -(-_NUM_SPECIAL // per_key)] = scores.sum() + 1
  chosen = np.argsort(-scores, kind='stable')[: int(num_rows / per_key + 0.5)]
  return np.sort(chosen).astype(np.int32)


def _covered(counts: np.ndarray, keys: np.ndarray, per_key: int) -> int:
  return counts.reshape([-1, per_key])[keys].sum() - counts[0]


def _round(keys: list[np.ndarray], size: int, per_key: int) -> Callable[[], None]:
  """Returns a function that sends the first clients their rows once."""
  table_type = tff.TensorType(np.float32, [size, _WIDTH])
  rows = model_lib.Units('vocabulary', 0, size // per_key)

  @tff.tensorflow.computation
  def initial_table():
    return tf.ones(table_type.shape)

  @tff.tensorflow.computation(table_type, np.int32)
  def select(table, key):
    return slices.take_by_unit(table, rows, key[tf.newaxis])

  @tff.tensorflow.computation(tff.SequenceType(select.type_signature.result))
  def receive(found):
    return tf.reduce_sum(found.batch(size).get_single_element())

  @tff.federated_computation(tff.FederatedType(tff.TensorType(np.int32, keys[0].shape), tff.CLIENTS))
  def advance(keys):
    table = tff.federated_eval(initial_table, tff.SERVER)
    num_keys = tff.federated_value(np.int32(size // per_key), tff.SERVER)
    return tff.federated_sum(tff.federated_map(receive, tff.federated_select(keys, num_keys, table, select)))

  return lambda: advance(keys[:_SELECTING_CLIENTS])
