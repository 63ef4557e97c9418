"""The measurements behind `experiments.client_cost`: local rounds in fresh processes, one for memory and one for time.

The process holds weights and examples; that is `idle`. A round on a single example then pays TensorFlow's fixed costs:
tracing, the graph, kernels and their caches. What stays of it is `fixed`. The kernel's high-water mark of resident
memory is reset, and a whole round gives `peak`, above both.

Time is measured with oneDNN, as TensorFlow comes. A round has a cost of its own, so a step is what each of its steps
adds: (round of n steps - round of one) / (n - 1). The processor time of a step hardly depends on what else the machine
does; its wall time does.
"""

from collections.abc import Callable
import functools
import json
import os
import pickle
import subprocess
import sys
import time
from typing import Any
from typing import NamedTuple

import cloudpickle
import numpy as np

from experiments.command import command_line
from experiments.command import failures
from experiments.command import plugins
from experiments.costs import client_round
from experiments.costs import measured_case
from experiments.costs import resident_memory
from experiments.workers import hardware

_CANNOT_UNPACK = 3  # The exit code of a process whose case does not become one again.
NUM_CLIENTS = 5  # Whose rounds a process times.


class Memory(NamedTuple):
  """Resident memory.

  Attributes:
    idle_bytes: Before anything was traced.
    fixed_bytes: By how much tracing and a round on one example raised it for good.
    peak_bytes: By how much a round raised it above that, at most.
  """

  idle_bytes: int
  fixed_bytes: int
  peak_bytes: int


class Time(NamedTuple):
  """What a step adds to each of `NUM_CLIENTS` rounds.

  Attributes:
    step_seconds: Wall time.
    step_cpu_seconds: Processor time, over all threads.
  """

  step_seconds: tuple[float, ...]
  step_cpu_seconds: tuple[float, ...]


class Measured(NamedTuple):
  """What two processes found."""

  memory: Memory
  time: Time


def run(case: measured_case.Case, first_client: int, num_cores: int) -> Measured:
  """Measures clients from `first_client` on in fresh processes, which use `num_cores` threads.

  Raises:
    RuntimeError: If a process fails; ends with what it said last.
  """
  return Measured(
    Memory(**_run('memory', case, first_client, num_cores)),
    Time(**_run('step_time', case, first_client, num_cores)),
  )


def _run(what: str, case: measured_case.Case, first_client: int, num_cores: int) -> dict[str, Any]:
  environment = os.environ | {
    'OMP_NUM_THREADS': str(num_cores),
    'TF_CPP_MIN_LOG_LEVEL': '3',
    **hardware.WITHOUT_GPUS,
    'TF_NUM_INTEROP_THREADS': str(num_cores),
    'TF_NUM_INTRAOP_THREADS': str(num_cores),
  }
  if what == 'memory':
    environment |= resident_memory.ENVIRONMENT
  script = f'from experiments.costs import client_process; client_process.print_measured(client_process.{what})'
  arguments = dict(
    case=packed(case),
    first_client=first_client,
    plugins=[plugin.text for plugin in plugins.loaded()],
    path=[os.path.abspath(each) for each in sys.path],
  )
  done = subprocess.run(
    [sys.executable, '-c', script],
    input=pickle.dumps(arguments),
    cwd=command_line.ROOT,
    env=environment,
    capture_output=True,
    check=False,
  )
  if done.returncode == _CANNOT_UNPACK:
    raise failures.UsageError(_cannot_travel(case, done.stderr.decode(errors='replace').strip().rpartition('\n')[2]))
  if done.returncode:
    said = done.stderr.decode(errors='replace')[-2000:]
    raise RuntimeError(f'measuring {case.policy_name} failed with code {done.returncode}: {said}')
  return json.loads(done.stdout.splitlines()[-1])


def packed(case: measured_case.Case) -> bytes:
  """Returns a case as it travels to its process; raises `UsageError` for an object of a script that cannot."""
  try:
    return cloudpickle.dumps(case)
  except Exception as error:  # Whatever an object raises.
    raise failures.UsageError(_cannot_travel(case, str(error))) from error


def _cannot_travel(case: measured_case.Case, reason: str) -> str:
  return (
    f'an object that is measured in processes of its own must travel there, and of {case.policy_name} one cannot '
    f'({reason}): name it by a plug-in'
  )


def print_measured(measure: Callable[[measured_case.Case, int], NamedTuple]) -> None:
  """Measures in this process what stdin says, with its plug-ins, and prints the result as a line of JSON."""
  arguments = pickle.load(sys.stdin.buffer)
  sys.path[:] = arguments['path']
  with plugins.using(arguments['plugins']):
    try:
      case = pickle.loads(arguments['case'])
    except Exception as error:  # Whatever an object raises.
      print(error, file=sys.stderr)
      sys.exit(_CANNOT_UNPACK)
    print(json.dumps(measure(case, arguments['first_client'])._asdict()))


def memory(case: measured_case.Case, first_client: int) -> Memory:
  """Measures the memory of a client's local steps in this process, which should be a fresh one."""
  client = client_round.ClientRound(case)
  received = client.received(first_client, client.task.model.initial_weights(0))
  examples = client.examples(first_client, case.batch_size * case.num_steps)
  idle = resident_memory.settled_bytes()
  train = client.build_local_steps()
  train(received, examples.take(1))
  fixed = resident_memory.settled_bytes() - idle
  return Memory(idle, fixed, resident_memory.peak_bytes(lambda: train(received, examples)))


def step_time(case: measured_case.Case, first_client: int) -> Time:
  """Measures the time of the local steps of `NUM_CLIENTS` clients in this process."""
  client = client_round.ClientRound(case)
  weights, train = client.task.model.initial_weights(0), client.build_local_steps()
  train(client.received(first_client, weights), client.examples(first_client, 1))
  steps = []
  for key in range(first_client, first_client + NUM_CLIENTS):
    received, examples = client.received(key, weights), client.examples(key, case.batch_size * case.num_steps)
    single = _seconds(functools.partial(train, received, examples.take(case.batch_size)))
    whole = _seconds(functools.partial(train, received, examples))
    steps.append((whole - single) / (case.num_steps - 1))
  wall, cpu = np.transpose(steps).tolist()
  return Time(tuple(wall), tuple(cpu))


def _seconds(call: Callable[[], Any]) -> np.ndarray:
  """Returns the wall time and the processor time of a call."""
  started = np.array([time.perf_counter(), time.process_time()])
  call()
  return np.array([time.perf_counter(), time.process_time()]) - started
