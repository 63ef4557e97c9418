"""A plain Keras loop as a contender of the speed benchmark, in a process of its own: as many threads as TensorFlow takes.

Where rounds are computed in the benchmark's own process, operations there have one thread each.
"""

from collections.abc import Callable
import contextlib
import pathlib
import sys

import tensorflow as tf

from experiments.benchmarks import asked_process
from experiments.benchmarks import keras_workloads
from experiments.benchmarks import rounds as benchmark_rounds
from experiments.command import command_line


def running(workload: str, database: pathlib.Path) -> contextlib.AbstractContextManager[Callable[[], None]]:
  """Returns a block around what does a round; the process ends with it.

  Args:
    workload: In `keras_workloads.WORKLOADS`.
    database: The clients' file, see `rounds.store_clients`.
  """
  script = f'from experiments.benchmarks import keras_contender; keras_contender.serve({workload!r}, {str(database)!r})'
  return asked_process.running([sys.executable, '-c', script], command_line.ROOT)


def serve(workload: str, database: str) -> None:
  """Does rounds of a workload on the clients of a file, as `asked_process.running` asks for them."""
  clients = benchmark_rounds.read_clients(pathlib.Path(database))
  asked_process.serve(_loop(keras_workloads.WORKLOADS[workload](), clients))


def _loop(model: tf.keras.Model, clients: benchmark_rounds.Clients) -> Callable[[], None]:
  """One client after the other in a plain training loop, each from the same weights; nothing is added up."""
  loss = benchmark_rounds.loss()
  start = [tf.identity(variable) for variable in model.trainable_variables]

  @tf.function(input_signature=[benchmark_rounds.BATCH, benchmark_rounds.BATCH], autograph=False)
  def step(inputs: tf.Tensor, targets: tf.Tensor) -> None:
    with tf.GradientTape() as tape:
      value = loss(targets, model(inputs, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
      variable.assign_sub(benchmark_rounds.CLIENT_LR * tf.convert_to_tensor(gradient))

  step = step.get_concrete_function()

  def advance() -> None:
    for client_id in clients.client_ids:
      for variable, value in zip(model.trainable_variables, start, strict=True):
        variable.assign(value)
      for inputs, targets in benchmark_rounds.batched(clients.create_tf_dataset_for_client(client_id)):
        step(inputs, targets)

  return advance
