"""What a logger is: a `with` block around a run that gives a function of the rows of `metrics.csv`."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import inspect
import pathlib
from typing import Any

from experiments.command import failures

# Called with the columns of a row of `metrics.csv` by name, `round` among them, once the row is in the file: for each
# round once, in order, beginning with round 0, which is the evaluation of the initial model. Values are Python's int and
# float, and None for what was not measured. A run that goes on after a kill does the rounds after its last checkpoint
# again, so that their rows come again; earlier ones do not. It is called in the thread that runs the run, which waits for
# it; signals wait too. An error that it raises ends the run, as it is, after what was reached has been saved.
OnRow = Callable[[dict[str, Any]], None]

# From the folder of a run to the block around it.
Logger = Callable[[pathlib.Path], contextlib.AbstractContextManager[OnRow]]


@contextlib.contextmanager
def nothing(output_dir: pathlib.Path) -> Iterator[OnRow]:
  """Tells nobody of the run in a folder."""
  del output_dir
  yield telling()


def each_row(on_row: OnRow) -> Logger:
  """Returns a logger that calls a function with each row."""

  @contextlib.contextmanager
  def call(output_dir: pathlib.Path) -> Iterator[OnRow]:
    del output_dir
    yield on_row

  return call


def around(log_to: Logger, output_dir: pathlib.Path) -> contextlib.AbstractContextManager[OnRow]:
  """Returns the block of a logger for the run in a folder; raises `UsageError` for a function of a row."""
  try:
    block = log_to(output_dir)
  except Exception as error:
    raise failures.UsageError(
      f'log_to takes the folder of a run and raises {type(error).__name__} ({error}): for a function of a row write '
      'suite.each_row(function)'
    ) from error
  if not isinstance(block, contextlib.AbstractContextManager):
    raise failures.UsageError('log_to is a function that makes no block around a run: write suite.each_row(function)')
  return _with_a_function(block)


@contextlib.contextmanager
def _with_a_function(block: contextlib.AbstractContextManager[Any]) -> Iterator[OnRow]:
  """Is the block of a logger; raises `UsageError` if it gives no function of a row."""
  with block as on_row:
    try:
      inspect.signature(on_row).bind({})
    except TypeError as error:
      raise failures.UsageError(f'the block of log_to must give a function of a row: {error}') from error
    except ValueError:  # A function of C, which does not tell what it takes.
      pass
    yield on_row


def telling(*hooks: OnRow | None) -> OnRow:
  """Returns a function that hands each of the hooks that are not None a copy of the row."""
  known = [hook for hook in hooks if hook is not None]

  def tell(row: dict[str, Any]) -> None:
    for hook in known:
      hook(dict(row))

  return tell
