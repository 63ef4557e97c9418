"""The catalogue behind `--runtime`: where a run computes."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import inspect
import pathlib
from typing import Any

import tensorflow_federated as tff

from data import arguments
from experiments.command import failures
from experiments.command import plugin_tables
from experiments.command import spec
from experiments.workers import concurrency
from experiments.workers import hardware
from experiments.workers import in_process as in_process_lib
from experiments.workers import local_runtime
from experiments.workers import remote_runtime
from experiments.workers import split_computation

_PREFIX = 'unix:'
_GROUPS = 8
_LIKE = 'runtimes.start_worker(log_path, num_parameters, clients_per_round, num_groups=None)'

# From the file that a local worker prints to, the parameters of the model and the clients of a round, to the runtime for
# the length of a `with` block. The keyword argument `num_groups` splits the clients, see `execution.build_spread_context`.
StartRuntime = Callable[..., contextlib.AbstractContextManager[local_runtime.Runtime]]


@contextlib.contextmanager
def start_worker(
  log_path: pathlib.Path, num_parameters: int, clients_per_round: int, num_groups: int | None = None
) -> Iterator[local_runtime.LocalWorker]:
  """Computes in a worker on this machine, which runs as many clients at a time as memory and processors allow."""
  at_once = concurrency.of_this_machine(concurrency.IN_WORKER, num_parameters, clients_per_round)
  threads = 1 if num_groups else concurrency.threads_per_client(clients_per_round)  # As remote workers have.
  with local_runtime.local_runtime(log_path, at_once, num_groups, threads) as started:
    hardware.say(f'in a worker on this machine, {_clients(at_once)} at a time')
    yield started


def start_in_process(
  log_path: pathlib.Path, num_parameters: int, clients_per_round: int, num_groups: int | None = None, threads: int = 0
) -> contextlib.AbstractContextManager[in_process_lib.InProcess]:
  """Computes in this process, as many clients at a time as there are threads, 0 for what memory and processors allow."""
  del log_path  # Of workers.
  if num_groups:
    raise failures.UsageError(
      '--deterministic adds up clients as any worker does: leave it out, --runtime=in_process repeats itself in any '
      'case, whatever its threads'
    )
  return _computing_here(
    threads or concurrency.of_this_machine(concurrency.IN_PROCESS, num_parameters, clients_per_round)
  )


@contextlib.contextmanager
def _computing_here(threads: int) -> Iterator[in_process_lib.InProcess]:
  with in_process_lib.in_process(threads) as started:
    hardware.say(f'in this process, {_clients(started.threads)} at a time', started.devices)
    yield started


def start_here(computation: tff.Computation) -> StartRuntime:
  """Returns what starts the runtime of a computation that nobody has named one for: this process, if it can be split.

  Args:
    computation: The one that has the clients; if it sends them slices of what the server holds, a worker runs it.
  """
  return start_worker if split_computation.sends_slices(computation) else start_in_process


@contextlib.contextmanager
def _connect(addresses: Sequence[str], num_groups: int | None) -> Iterator[remote_runtime.RemoteWorkers]:
  with remote_runtime.remote_runtime(addresses, num_groups) as connected:
    hardware.say('in 1 offered worker' if len(addresses) == 1 else f'in {len(addresses)} offered workers')
    yield connected


def _clients(number: int) -> str:
  return '1 client' if number == 1 else f'{number} clients'


def build(text: Any, deterministic: bool, clients_per_round: int = 0) -> StartRuntime | None:
  """Builds what a spec such as `remote(workers=["unix:a.sock"])` names.

  Args:
    text: The spec; from a script also what starts a runtime. None for this machine.
    deterministic: Whether sums over clients must not depend on the number of workers, not even in their last bit.
    clients_per_round: Clients of a round, 0 for all; if there are fewer than processors, these share a client's operations.

  Returns:
    What starts the runtime; None if the computation decides, see `start_here`.

  Raises:
    SpecError: For a bad spec.
  """
  in_process_lib.share_operations(concurrency.threads_per_client(clients_per_round))
  start = None if text is None else _checked(spec.build(text, RUNTIMES, 'runtime', kind=Callable))
  return functools.partial(start or start_worker, num_groups=_GROUPS) if deterministic else start


def _checked(start: StartRuntime) -> StartRuntime:
  """Returns what starts a runtime; it raises `UsageError` where that makes no block."""

  def started(*args: Any, **arguments: Any) -> contextlib.AbstractContextManager[local_runtime.Runtime]:
    try:
      inspect.signature(start).bind(*args, **arguments)
    except TypeError as error:
      raise failures.UsageError(f'the runtime is called as {_LIKE}, and it takes other arguments: {error}') from error
    block = start(*args, **arguments)
    if not isinstance(block, contextlib.AbstractContextManager):
      raise failures.UsageError(f'the runtime makes no block around a run: it must be as {_LIKE}')
    return _with_a_runtime(block)

  return started


@contextlib.contextmanager
def _with_a_runtime(block: contextlib.AbstractContextManager[Any]) -> Iterator[local_runtime.Runtime]:
  """Is the block of a runtime; raises `UsageError` if it gives something else."""
  with block as runtime:
    if not isinstance(runtime, local_runtime.Runtime):
      raise failures.UsageError(f'the block of the runtime gives {type(runtime).__name__}: it must be as {_LIKE}')
    yield runtime


def worker() -> StartRuntime:
  """Computes on this machine, in a worker that the run starts and ends."""
  return start_worker


def in_process(threads: int = 0) -> StartRuntime:
  """Computes in this process, whose state no worker has to be sent; a crash of TensorFlow ends the run, which can go on.

  Args:
    threads: How many clients are computed at a time; 0 for one a processor, or fewer if they would not fit into memory.

  Returns:
    What makes this process compute.

  Raises:
    ValueError: For a negative number.
  """
  arguments.check_whole(0, threads=threads)
  return functools.partial(start_in_process, threads=threads)


def remote(workers: Sequence[str]) -> StartRuntime:
  """Spreads clients over workers that `experiments.worker` offers.

  Args:
    workers: For each worker `unix:` and the path of a socket here, which ssh carries to its machine.

  Returns:
    What connects to them.

  Raises:
    ValueError: If there are none, or they are not distinct Unix sockets that exist.
  """
  if not isinstance(workers, list | tuple) or not workers:
    raise ValueError(f'workers must be a list of sockets such as ["unix:a.sock", "unix:b.sock"], not {workers!r}')
  for address in workers:
    if not isinstance(address, str) or not address.startswith(_PREFIX) or address == _PREFIX:
      raise ValueError(
        f'a worker is reached through a Unix socket such as "unix:a.sock", not {address!r}: let ssh -N -L carry one here'
      )
  if len({_path(address) for address in workers}) < len(workers):
    raise ValueError(f'workers must differ from each other, and {list(workers)} do not')
  for path in map(_path, workers):
    if not path.is_socket():
      raise ValueError(f'there is no socket at {path}: carry one of experiments.worker here with ssh -N -L')
  addresses = [f'{_PREFIX}{_path(address)}' for address in workers]
  return lambda *_, num_groups=None: _connect(addresses, num_groups)


def _path(address: str) -> pathlib.Path:
  return pathlib.Path(address.removeprefix(_PREFIX)).absolute()


RUNTIMES = {'in_process': in_process, 'worker': worker, 'remote': remote}
plugin_tables.add('RUNTIMES', plugin_tables.Table(RUNTIMES, 'runtimes', 'runtimes', Callable))
