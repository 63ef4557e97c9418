"""A contender of the speed benchmark in a process of its own, which is asked for its rounds one by one."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import pathlib
import subprocess
import sys


@contextlib.contextmanager
def running(command: Sequence[str], folder: pathlib.Path | None = None) -> Iterator[Callable[[], None]]:
  """Yields what does a round; the process ends with the context.

  Args:
    command: Runs what answers a line on standard input, once it has done a round, with a line on standard output, and ends
      with its input; `serve` is that in Python.
    folder: Where it runs; here by default.
  """
  with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

    def advance() -> None:
      process.stdin.write('\n')
      process.stdin.flush()
      if not process.stdout.readline():
        raise RuntimeError(f'{" ".join(command)} ended before its round did')

    yield advance


def serve(advance: Callable[[], None]) -> None:
  """Does rounds as `running` asks for them."""
  for _ in sys.stdin:
    advance()
    print('done', flush=True)
