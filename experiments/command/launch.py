"""Starts a binary: readable `--help`, `--version`, and one line and exit code 2 for whatever a user can mend."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import logging as python_logging
import os
import signal
import sys
from typing import Any
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging

from data import errors
from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.command import spec
from experiments.command import spec_help
from experiments.command import version

_INTERRUPTED = 130  # What a shell reports for a program that Ctrl-C ended.


def launch(main: Callable[[Mapping[str, Any]], None], table: flag_table.FlagTable) -> None:
  """Parses the flags, runs `main` and exits: 0 when it returns, 2 after one line on stderr for bad input, 1 if it ended early.

  Args:
    main: Takes the value of every flag by name; raises `failures.UsageError`, `spec.SpecError` or `data.errors.DataError` for bad input, `failures.RunEnded` for an early end.
    table: The flags.
  """
  # What the terminal cannot show is written as an escape.
  sys.stdout.reconfigure(errors='backslashreplace')
  quiet()
  app.run(lambda argv: guarded(lambda: _call(main, table), argv), flags_parser=lambda argv: _parse(argv, table))


def quiet() -> None:
  """Keeps libraries from reporting what the suite reports itself."""
  # TFF reports progress of its own through absl; the suite has a progress bar.
  logging.set_verbosity(logging.ERROR)
  # gRPC reports messages that are no text, such as those of a worker that quotes a damaged example.
  python_logging.getLogger('grpc').setLevel(python_logging.CRITICAL)
  # TensorFlow tells where it writes checkpoints; in a notebook it has a handler of its own.
  python_logging.getLogger('tensorflow').setLevel(python_logging.ERROR)


def _parse(argv: Sequence[str], table: flag_table.FlagTable) -> list[str]:
  if any(argument in ('--help', '-help', '-h') for argument in argv[1:]):
    _answer(f'{sys.modules["__main__"].__doc__}\n{table.help_text()}')
  if '--version' in argv[1:]:
    _answer(version.VERSION)
  try:
    rest = table.parse([argv[0], *command_line.expanded(argv[1:])])
  except flags.Error as error:
    _refuse(error)
  if table.named_plugins():
    plugin_tables.tables()  # Imports TensorFlow: once `app.run` is done with flags, Keras would come out of it broken.
  return rest


def _call(main: Callable[[Mapping[str, Any]], None], table: flag_table.FlagTable) -> None:
  """Runs `main` once the plug-ins are loaded; help on what they add is answered instead."""
  with plugins.using(table.named_plugins()) as loaded:
    if loaded:
      spec_help.answer_if_asked(plugins.entries())
    with plugins.blamed(), table.called():
      main(table.parsed())


def _answer(text: str) -> NoReturn:
  try:
    print(text, flush=True)
  except BrokenPipeError:
    os._exit(128 + signal.SIGPIPE)  # Who was reading, such as `head`, has seen enough.
  sys.exit(0)


def guarded(main: Callable[[], None], argv: Sequence[str]) -> None:
  """Runs `main` as `launch` does once the flags are parsed; `argv` holds what was left of the command line."""
  if len(argv) > 1:
    _refuse(f'{argv[1]!r} is not a flag: write --name=value')
  try:
    main()
    sys.stdout.flush()
  except (failures.UsageError, spec.SpecError, errors.DataError) as error:
    _refuse(error)
  except failures.RunEnded as error:
    _leave(f'error: {_line(error)}', 1)
  except failures.Stopped as stop:
    _leave(f'stopped by {stop}; the same command {stop.way_on}', stop.exit_code)
  except BrokenPipeError:
    os._exit(128 + signal.SIGPIPE)  # Who was reading what is printed, such as `head`, has seen enough.
  except OSError as error:
    if error.filename is None and not _stdout_takes('\n'):  # An error of stdout names no file.
      _leave(f'error: standard output cannot be written: {error.strerror}', 1)
    raise
  except KeyboardInterrupt:
    print('interrupted; the same command does what is left', file=sys.stderr)
    sys.exit(_INTERRUPTED)


def _refuse(message: object) -> None:
  print(f'error: {_line(message)}', file=sys.stderr)
  sys.exit(2)


def _leave(message: str, exit_code: int) -> None:
  """Ends this process at once: threads of TFF that are still inside gRPC would make Python's own way out abort."""
  print(message, file=sys.stderr)
  _stdout_takes('')
  sys.stderr.flush()
  os._exit(exit_code)


def _stdout_takes(text: str) -> bool:
  """Writes what was printed so far, and `text`; returns whether the system takes that."""
  try:
    sys.stdout.write(text)
    sys.stdout.flush()
  except OSError:
    return False
  return True


def _line(message: object) -> str:
  return ' '.join(str(message).split())
