"""The measurements of memory and time behind `experiments.client_cost`: a local round in a fresh process.

The process holds weights and examples; that is `idle`. A round on a single example then pays TensorFlow's fixed costs:
tracing, the graph, kernels and their caches. What stays of it is `fixed`. The kernel's high-water mark of resident
memory is reset, and a whole round gives `peak`, above both. The environment makes the allocator return what is freed, so that the
peak is of live memory. oneDNN is left as TensorFlow has it: without it a step takes half as long again, and `peak` gains
a few megabytes of the twenty that `fixed` loses.

A round has a cost of its own, so a step is what each of its steps adds: (round of n steps - round of one) / (n - 1).
The processor time of a step hardly depends on what else the machine does; its wall time does.
"""

from collections.abc import Callable
import ctypes
import dataclasses
import gc
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any
from typing import NamedTuple

import numpy as np

from experiments import client_round

NUM_CLIENTS = 5  # Whose rounds a process times.
_STATUS, _CLEAR = pathlib.Path('/proc/self/status'), pathlib.Path('/proc/self/clear_refs')
_RESET_PEAK = '5'  # See proc(5).


class Measured(NamedTuple):
  """What one process found.

  Attributes:
    idle_bytes: Resident memory before anything was traced.
    fixed_bytes: By how much tracing and a round on one example raised it for good.
    peak_bytes: By how much a round raised it above that, at most.
    step_seconds: Of each timed round, the wall time that a step adds.
    step_cpu_seconds: Likewise the processor time, over all threads.
  """

  idle_bytes: int
  fixed_bytes: int
  peak_bytes: int
  step_seconds: tuple[float, ...]
  step_cpu_seconds: tuple[float, ...]


def run(setting: client_round.Setting, first_client: int, num_cores: int) -> Measured:
  """Measures clients from `first_client` on in a fresh process, which uses `num_cores` threads.

  Raises:
    RuntimeError: If the process fails; ends with what it said last.
  """
  environment = os.environ | {
    'MALLOC_ARENA_MAX': '1',
    'MALLOC_MMAP_THRESHOLD_': '65536',
    'OMP_NUM_THREADS': str(num_cores),
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_NUM_INTEROP_THREADS': str(num_cores),
    'TF_NUM_INTRAOP_THREADS': str(num_cores),
  }
  script = 'from experiments import client_process; client_process.print_measured()'
  arguments = json.dumps(dict(setting=dataclasses.asdict(setting), first_client=first_client))
  done = subprocess.run(
    [sys.executable, '-c', script, arguments],
    cwd=pathlib.Path(__file__).parents[1],
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    raise RuntimeError(f'measuring {setting.policy} failed with code {done.returncode}: {done.stderr[-2000:]}')
  return Measured(**json.loads(done.stdout.splitlines()[-1]))


def print_measured() -> None:
  """Measures in this process what its argument says and prints the result as a line of JSON."""
  arguments = json.loads(sys.argv[1])
  print(json.dumps(measure(client_round.Setting(**arguments['setting']), arguments['first_client'])._asdict()))


def measure(setting: client_round.Setting, first_client: int) -> Measured:
  """Measures in this process, which should be a fresh one."""
  client = client_round.ClientRound(setting)
  num_examples = setting.batch_size * setting.num_steps
  weights = client.task.model.initial_weights(0)
  clients = [
    (client.received(key, weights), client.examples(key, num_examples))
    for key in range(first_client, first_client + NUM_CLIENTS)
  ]
  received, examples = clients[0]
  idle = _settled_bytes()
  train = client.build_train()
  train(received, examples.take(1))
  before = _settled_bytes()
  _CLEAR.write_text(_RESET_PEAK)
  train(received, examples)
  peak = _resident_bytes('VmHWM')
  steps = []
  for received, examples in clients:
    single = _seconds(lambda: train(received, examples.take(setting.batch_size)))
    whole = _seconds(lambda: train(received, examples))
    steps.append((whole - single) / (setting.num_steps - 1))
  wall, cpu = np.transpose(steps).tolist()
  return Measured(idle, before - idle, peak - before, tuple(wall), tuple(cpu))


def _seconds(call: Callable[[], Any]) -> np.ndarray:
  """Returns the wall time and the processor time of a call."""
  started = np.array([time.perf_counter(), time.process_time()])
  call()
  return np.array([time.perf_counter(), time.process_time()]) - started


def _settled_bytes() -> int:
  """Gives back what is free, which would otherwise serve later allocations unseen; returns the resident memory."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  return _resident_bytes('VmRSS')


def _resident_bytes(name: str) -> int:
  """Reads `VmRSS`, or its high-water mark `VmHWM`, of this process."""
  fields = dict(line.split(':', 1) for line in _STATUS.read_text().splitlines())
  return int(fields[name].split()[0]) * 1024
