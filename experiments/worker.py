"""Offers this machine to a federated run elsewhere: an isolated TFF worker behind a Unix socket, which ssh carries.

    python -m experiments.worker --socket=worker.sock

No network port is opened: whoever may open the socket, a file of mode 0600, may use the worker, and that is this user and
those that log in as this user by ssh. The line it prints says how. The data set must be at the same path as on the machine
of the run. What the worker says goes to SOCKET.log. Ctrl-C ends it and leaves only that file.
"""

from collections.abc import Mapping
import os
import signal
import socket
import sys
import time
from typing import Any

from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.workers import offered_worker

FLAGS = flag_table.FlagTable('worker')
FLAGS.string(
  'socket', None, 'Path of the Unix socket to make; must be free, or left over from a worker that was killed.'
)
_POLL_SECONDS = 0.2


def main(given: Mapping[str, Any]) -> None:
  """Offers a worker until a signal ends this process.

  Raises:
    UsageError: If there can be no worker at this socket.
  """
  if not given['socket']:
    raise failures.UsageError('--socket is missing: name the socket to make, for example --socket=worker.sock')
  path = os.path.abspath(given['socket'])
  offered_worker.make_room(path)
  signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background job inherits that it is ignored.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  process = None
  try:
    process = offered_worker.start(path)
    print(_how_to_use(path), flush=True)
    while not process.ending():
      time.sleep(_POLL_SECONDS)
    sys.exit(f"error: TFF's {process.ending()}; see {offered_worker.log_path(path)}")
  except KeyboardInterrupt:
    pass
  finally:
    if process:
      process.stop()


def _how_to_use(path: str) -> str:
  carry = f'ssh -N -o ServerAliveInterval=15 -L $PWD/a.sock:{path} {socket.gethostname()}'
  return f"""ready: on the machine of the run, {carry} and then --runtime='remote(workers=["unix:a.sock"])'"""


if __name__ == '__main__':
  launch.launch(main, FLAGS)
