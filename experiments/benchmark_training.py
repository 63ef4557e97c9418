"""The measurements behind `--what=training`: seconds a round against stock TFF, and memory over many rounds."""

from collections.abc import Callable
import pathlib
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import uniform
from compression import update_codec
from data import store
from experiments import keras_workloads
from experiments import memory_slope
from experiments import runtime
from models import keras_bridge
from models import language_task
from models import lstm
from models import task as task_lib
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches

_CLIENTS, _EXAMPLES, _BATCH_SIZE = 10, 128, 16
_LENGTH = keras_workloads.SEQUENCE_LENGTH
_CLIENT_LR = 0.1

Round = Callable[[], None]


def compare_speed(folder: pathlib.Path, repeats: int) -> None:
  """Prints seconds and sequences a second of each contender on each workload, and their ratios."""
  clients = _clients(folder / 'speed.sqlite', _EXAMPLES)
  for name, build in keras_workloads.WORKLOADS.items():
    seconds = alternate(_contenders(build, clients), repeats)
    print(
      f'{name}: {_CLIENTS} clients x {_EXAMPLES} sequences of {_LENGTH} tokens, batch {_BATCH_SIZE}, median of {repeats} rounds'
    )
    for contender, value in seconds.items():
      print(f'  {contender:<22} {value:6.2f} s a round  {_CLIENTS * _EXAMPLES / value:6.0f} sequences/s')
    print(
      f'{name} ratio to stock TFF: {seconds["stock TFF"] / seconds["leanfed"]:.2f} (sequences a second, above 1 is faster)'
    )
    print(
      f'{name} round with uniform(bits=8) to round without: {seconds["leanfed uniform(bits=8)"] / seconds["leanfed"]:.2f}'
    )


def measure_memory(folder: pathlib.Path, worker: runtime.LocalWorker, rounds: int) -> None:
  """Prints the slope of the resident memory of both processes over `rounds` rounds of a tiny model."""
  clients = _clients(folder / 'memory.sqlite', 16)
  task = language_task.build(lstm.lstm(width=16, num_cells=16)(keras_workloads.VOCABULARY_SIZE), _LENGTH)
  advance = _suite_round(task, clients, update_codec.UpdateCodec())
  memory_slope.print_slopes(advance, [worker], rounds)


def _clients(database: pathlib.Path, num_examples: int) -> tff.simulation.datasets.ClientData:
  """Writes clients with random tokens the way the suite stores them."""
  rng, writer = np.random.default_rng(0), store.Writer(database)
  for client in range(_CLIENTS):
    for tokens in rng.integers(1, keras_workloads.VOCABULARY_SIZE, [num_examples, _LENGTH + 1], np.int32):
      writer.add_example('train', f'client {client}', tokens)
  writer.finish({})
  spec = dict(tokens=tf.TensorSpec([_LENGTH + 1], tf.int32), client_key=tf.TensorSpec([], tf.int64))
  return tff.simulation.datasets.load_and_parse_sql_client_data(str(database), spec, 'train')


def _contenders(build: Callable[[], tf.keras.Model], clients: tff.simulation.datasets.ClientData) -> dict[str, Round]:
  model = keras_bridge.from_keras(build, tf.TensorSpec([None, _LENGTH], tf.int32))
  task = language_task.build(model, _LENGTH)
  return {
    'stock TFF': _stock_round(build, clients),
    'leanfed': _suite_round(task, clients, update_codec.UpdateCodec()),
    'leanfed uniform(bits=8)': _suite_round(
      task, clients, update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(bits=8)]))
    ),
  }


def _suite_round(
  task: task_lib.Task, clients: tff.simulation.datasets.ClientData, upload: update_codec.UpdateCodec
) -> Round:
  process = fed_opt.fed_avg(client_lr=_CLIENT_LR)(
    task, algorithms.Communication(upload=upload), local_batches.LocalBatches(_BATCH_SIZE), 0
  )
  return _advance(process, clients)


def _stock_round(build: Callable[[], tf.keras.Model], clients: tff.simulation.datasets.ClientData) -> Round:
  spec = tf.TensorSpec([None, _LENGTH], tf.int32)

  def model_fn():
    return tff.learning.models.from_keras_model(
      build(), loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), input_spec=(spec, spec)
    )

  def batched(examples):
    pairs = examples.map(lambda example: (example['tokens'][:-1], example['tokens'][1:]))
    return pairs.shuffle(_EXAMPLES).batch(_BATCH_SIZE)

  process = tff.learning.algorithms.build_weighted_fed_avg(
    model_fn, client_optimizer_fn=tff.learning.optimizers.build_sgdm(_CLIENT_LR)
  )
  return _advance(process, clients.preprocess(batched))


def _advance(process: tff.learning.templates.LearningProcess, clients: tff.simulation.datasets.ClientData) -> Round:
  composed = tff.simulation.compose_dataset_computation_with_learning_process(clients.dataset_computation, process)
  held: list[Any] = [composed.initialize()]

  def advance() -> None:
    held[0] = composed.next(held[0], clients.client_ids).state

  return advance


def alternate(contenders: dict[str, Round], repeats: int) -> dict[str, float]:
  """Returns the median seconds of each contender's `repeats` rounds; they take turns after one unmeasured round each."""
  seconds: dict[str, list[float]] = {name: [] for name in contenders}
  for repeat in range(repeats + 1):
    for name, advance in contenders.items():
      started = time.perf_counter()
      advance()
      if repeat:
        seconds[name].append(time.perf_counter() - started)
  return {name: statistics.median(values) for name, values in seconds.items()}
