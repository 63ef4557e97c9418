"""How many clients run at a time, from the size of the model and the memory of the machine."""

from collections.abc import Iterator
import os
import pathlib
import sys
from typing import NamedTuple

_BYTES_PER_PARAMETER = 4  # float32
_USABLE_FRACTION = 0.8  # The rest is for activations, client data and whatever else the machine does.


class Copies(NamedTuple):
  """How many copies of a model a round of FedAvg holds at its peak, of which a few more where uploads are encoded.

  Attributes:
    a_round: Whatever its clients are.
    a_client: For each client of the round.
    a_running_client: For each that runs at a time.
  """

  a_round: float
  a_client: float
  a_running_client: float


# Measured with an LSTM of 7.8 M parameters above the 41 MB of an idle worker: 16.9, 19.5, 32.4 and 83.6 copies for 1, 2, 8
# and 32 clients one at a time, and 32.2 and 35.4 for 8 clients two and eight at a time; with 18.8 M parameters 23.6 for 4
# clients one at a time. Uploads encoded by uniform(bits=8) take 2 to 4 copies more. TFF holds what clients send until the
# round ends; what runs is a weight and a gradient, of which a half was measured, of clients that end at once.
IN_WORKER = Copies(15.0, 2.2, 2.0)
# With an LSTM of 9.3 M parameters above the process that has built it: 17.2 copies with one thread, 23.7 with two, whatever
# the number of clients.
IN_PROCESS = Copies(11.0, 0.0, 6.5)


def round_bytes(copies: Copies, num_parameters: int, clients_per_round: int, at_once: int) -> float:
  """Estimates what a round of FedAvg takes of memory.

  The model alone counts, not batch and sequence length.

  Args:
    copies: How many there are of the model.
    num_parameters: Scalars of the model, 4 bytes each.
    clients_per_round: Clients of the round.
    at_once: How many of them run at a time.
  """
  number = copies.a_round + copies.a_client * clients_per_round + copies.a_running_client * at_once
  return number * _BYTES_PER_PARAMETER * num_parameters


def max_clients_at_once(
  copies: Copies, num_parameters: int, clients_per_round: int, num_processors: int, memory_bytes: int
) -> int:
  """Returns how many clients should run at a time: as many as have a processor and fit into memory.

  Args:
    copies: How many there are of the model.
    num_parameters: Scalars of the model.
    clients_per_round: Clients of a round; more are never run at once.
    num_processors: Processors that may be used.
    memory_bytes: Memory that can still be taken; `round_bytes` may fill four fifths of it.

  Returns:
    At least 1, even if that does not fit.
  """
  usable_bytes = _USABLE_FRACTION * memory_bytes
  wanted = min(num_processors, clients_per_round)
  fitting = (
    n for n in range(wanted, 1, -1) if round_bytes(copies, num_parameters, clients_per_round, n) <= usable_bytes
  )
  return next(fitting, 1)


def of_this_machine(copies: Copies, num_parameters: int, clients_per_round: int) -> int:
  """Returns `max_clients_at_once` for the processors this process may use and the memory it finds available now.

  Says on stderr what to do if a round will hardly fit into that memory.
  """
  memory_bytes = available_bytes()
  num_processors = len(os.sched_getaffinity(0))
  at_once = max_clients_at_once(copies, num_parameters, clients_per_round, num_processors, memory_bytes)
  needed_bytes = round_bytes(copies, num_parameters, clients_per_round, at_once)
  if needed_bytes > memory_bytes:
    remedy = 'clients_per_round or the model' if copies.a_client else 'the model'
    print(
      f'warning: rounds of {clients_per_round} clients of {num_parameters:,} parameters take about '
      f'{needed_bytes / 1e9:.1f} GB, and {memory_bytes / 1e9:.1f} GB are available: lower {remedy}',
      file=sys.stderr,
    )
  return at_once


def threads_per_client(clients_per_round: int) -> int:
  """Returns how many threads should share an operation of one client, so that a round keeps all processors busy.

  It does not depend on memory: with one thread, products of wide layers differ in their last bits from those of several,
  and a run that is continued when less memory is available must not.

  Args:
    clients_per_round: Clients of a round; 0 for all, who are taken to be many.
  """
  num_processors = len(os.sched_getaffinity(0))
  return num_processors // min(num_processors, clients_per_round or num_processors)


def available_bytes(root: pathlib.Path = pathlib.Path('/')) -> int:
  """Returns how much memory this process and its children can still take.

  That is what the kernel calls available, or what a control group leaves them if that is less; file cache, which the kernel
  gives back, counts as free. Linux only.

  Args:
    root: Where `proc` and `sys` are.
  """
  return min([_fields(root / 'proc/meminfo')['MemAvailable:'] * 1024, *_left_in_groups(root)])


def _left_in_groups(root: pathlib.Path) -> Iterator[int]:
  """Yields what is left below each memory limit of the control groups, of version 2 and of version 1."""
  groups = root / 'proc/self/cgroup'  # Not there in a kernel without control groups.
  for line in groups.read_text().splitlines() if groups.exists() else ():
    _, controllers, group = line.split(':', 2)
    if not controllers:
      top, names = root / 'sys/fs/cgroup', ('memory.max', 'memory.current', 'inactive_file')
    elif 'memory' in controllers.split(','):
      names = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
      top = root / 'sys/fs/cgroup/memory'
    else:
      continue
    folder = top / group.strip('/')
    # A limit of a group holds for the groups in it.
    for each in (folder, *folder.parents):
      if each.is_relative_to(top) and (each / names[0]).is_file():
        yield from _left_in_group(each, *names)


def _left_in_group(folder: pathlib.Path, limit: str, usage: str, cache: str) -> Iterator[int]:
  limit_text = (folder / limit).read_text().strip()
  if limit_text != 'max':
    cache_bytes = _fields(folder / 'memory.stat').get(cache, 0)
    yield max(0, int(limit_text) - int((folder / usage).read_text()) + cache_bytes)


def _fields(file: pathlib.Path) -> dict[str, int]:
  """Reads lines that begin with a name and a number."""
  return {name: int(value) for name, value, *_ in map(str.split, file.read_text().splitlines())}
