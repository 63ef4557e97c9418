"""The contenders of the speed benchmark: rounds over the same clients, which train models of the same architecture."""

from collections.abc import Callable
import dataclasses
import functools
import pathlib
import statistics
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from data import store
from experiments.benchmarks import keras_workloads
from experiments.benchmarks import lean_workloads
from experiments.workers import default_context
from models import keras_bridge
from models import language_task
from models import task as task_lib
from optimizers import algorithms
from optimizers import devices
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import policies

NUM_CLIENTS, BATCH_SIZE, CLIENT_LR = 10, 16, 0.1
STOCK_TFF, KERAS_LOOP = 'stock TFF', 'plain Keras loop'
PLAIN_TORCH, TORCH_BFLOAT16 = 'plain PyTorch', 'plain PyTorch, bfloat16'
SUITE, IN_WORKER = 'leanfed', 'leanfed, in the worker'
EFFICIENT, BFLOAT16 = 'leanfed, 8 bits up, 40 % trained', 'leanfed, bfloat16'
AGAINST = {'tff': STOCK_TFF, 'keras': KERAS_LOOP, 'torch': PLAIN_TORCH}

_LENGTH = keras_workloads.SEQUENCE_LENGTH
BATCH = tf.TensorSpec([None, _LENGTH], tf.int32)

Clients = tff.simulation.datasets.ClientData
Round = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Workload:
  """A model and its clients.

  Attributes:
    name: In `keras_workloads.WORKLOADS`.
    clients: Who train it.
  """

  name: str
  clients: Clients

  @functools.cached_property
  def task(self) -> task_lib.Task:
    """What the suite trains, in its own layers."""
    return language_task.build(lean_workloads.of_keras(self.name, self._keras_model()), _LENGTH)

  def contenders(self, in_worker: tff.framework.SyncContext, with_stock: bool) -> dict[str, Round]:
    """Returns what does a round in TFF, by name.

    Args:
      in_worker: Computes the round of stock TFF, and the suite's once more; those of the suite are computed by the context
        that is the default.
      with_stock: Whether stock TFF is among them.
    """
    efficient = algorithms.Communication(upload=update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(bits=8)])))
    part = devices.Devices((policies.Random(fraction=0.4),))
    return ({STOCK_TFF: under(in_worker, self._stock_round)} if with_stock else {}) | {
      IN_WORKER: under(in_worker, lambda: suite_round(self.task, self.clients)),
      "leanfed, Keras' layers": suite_round(language_task.build(self._keras_model(), _LENGTH), self.clients),
      SUITE: suite_round(self.task, self.clients),
      EFFICIENT: suite_round(self.task, self.clients, efficient, part),
      BFLOAT16: suite_round(self.task, self.clients, precision='bfloat16'),
    }

  def _build(self) -> tf.keras.Model:
    return keras_workloads.WORKLOADS[self.name]()

  def _keras_model(self):
    return keras_bridge.from_keras(self._build, BATCH)

  def _stock_round(self) -> Round:
    def model_fn() -> tff.learning.models.VariableModel:
      return tff.learning.models.from_keras_model(self._build(), loss=loss(), input_spec=(BATCH, BATCH))

    process = tff.learning.algorithms.build_weighted_fed_avg(
      model_fn, client_optimizer_fn=tff.learning.optimizers.build_sgdm(CLIENT_LR)
    )
    return _advance(process, self.clients.preprocess(batched))


def under(context: tff.framework.SyncContext, build: Callable[[], Round]) -> Round:
  """Returns the round that `build` returns, which a context computes whatever the default is when it is called."""
  with default_context.as_default(context):
    advance = build()

  def advance_there() -> None:
    with default_context.as_default(context):
      advance()

  return advance_there


def suite_round(
  task: task_lib.Task,
  clients: Clients,
  communication: algorithms.Communication | None = None,
  who: devices.Devices = devices.ALIKE,
  precision: str = 'float32',
) -> Round:
  """Returns what does a round of FedAvg of a task."""
  algorithm = dataclasses.replace(fed_opt.fed_avg(client_lr=CLIENT_LR), precision=precision)
  communication = communication or algorithms.Communication()
  return _advance(algorithm(task, communication, local_batches.LocalBatches(BATCH_SIZE), 0, who), clients)


def _advance(process: tff.learning.templates.LearningProcess, clients: Clients) -> Round:
  composed = tff.simulation.compose_dataset_computation_with_learning_process(clients.dataset_computation, process)
  held: list[Any] = [composed.initialize()]

  def advance() -> None:
    held[0] = composed.next(held[0], clients.client_ids).state

  return advance


def batched(examples: tf.data.Dataset) -> tf.data.Dataset:
  """Returns the shuffled batches of a client as stock TFF and Keras take them: inputs and targets."""
  pairs = examples.map(lambda example: (example['tokens'][:-1], example['tokens'][1:]))
  return pairs.shuffle(1000).batch(BATCH_SIZE)


def loss() -> tf.keras.losses.Loss:
  """Returns Keras' loss of the workloads."""
  return tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def random_tokens(num_examples: int) -> np.ndarray:
  """Returns the random tokens of all clients: int32 [clients, examples, length + 1]."""
  shape = [NUM_CLIENTS, num_examples, _LENGTH + 1]
  return np.random.default_rng(0).integers(1, keras_workloads.VOCABULARY_SIZE, shape, np.int32)


def store_clients(database: pathlib.Path, tokens: np.ndarray) -> Clients:
  """Writes clients with their tokens the way the suite stores them."""
  writer = store.Writer(database)
  for client, examples in enumerate(tokens):
    for example in examples:
      writer.add_example('train', f'client {client}', example)
  writer.finish({})
  return read_clients(database)


def read_clients(database: pathlib.Path) -> Clients:
  """Returns the clients that `store_clients` has written."""
  spec = dict(tokens=tf.TensorSpec([_LENGTH + 1], tf.int32), client_key=tf.TensorSpec([], tf.int64))
  return tff.simulation.datasets.load_and_parse_sql_client_data(str(database), spec, 'train')


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
