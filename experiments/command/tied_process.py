"""Runs a command that the kernel kills as soon as the process that started it is gone.

    python -I -S tied_process.py PARENT_PID COMMAND [ARGUMENT ...]

The tie is Linux's PR_SET_PDEATHSIG, which survives the exec below, so that whatever ends the parent (SIGKILL and os._exit
included) ends the command too. The kernel counts the *thread* that started this file as the parent: start it from a thread
that lives as long as the command should. Standard library only: this file starts in milliseconds, by its path.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # From <linux/prctl.h>.


def tie_to_parent(parent_pid: int) -> None:
  """Asks the kernel to kill this process with its parent; ends it now if the parent is no longer `parent_pid`."""
  libc = ctypes.CDLL(None, use_errno=True)
  if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
    raise OSError(ctypes.get_errno(), 'prctl(PR_SET_PDEATHSIG) failed')
  # A parent that died before the call above sends no signal any more.
  if os.getppid() != parent_pid:
    sys.exit(f'tied_process: the parent {parent_pid} is gone')


def main(arguments: list[str]) -> None:
  """Ties this process to the parent named by the first argument and becomes the command that follows."""
  parent_pid, *command = arguments
  tie_to_parent(int(parent_pid))
  try:
    os.execvp(command[0], command)
  except OSError as error:
    sys.exit(f'tied_process: cannot run {command[0]}: {error.strerror}')


if __name__ == '__main__':
  main(sys.argv[1:])
