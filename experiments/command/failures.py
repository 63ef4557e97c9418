"""How a binary ends early: what a user can mend, what ended a run from outside, and signals."""

import signal


class OneLine(ValueError):
  """Bad input, told in one line: what has several, such as an array in a message, is joined."""

  def __init__(self, message: object):
    super().__init__(' '.join(line.strip() for line in str(message).splitlines()))


class UsageError(OneLine):
  """Something the user asked for that cannot be done; the message names the remedy."""


class RunEnded(RuntimeError):
  """What ended a run from outside, after it saved what it had; the message is one line."""


class Stopped(BaseException):
  """SIGTERM or SIGINT came; whatever was being computed is abandoned. No `Exception`, so that nobody swallows it.

  Attributes:
    exit_code: What a shell reports for a program that a signal ended.
    way_on: What the same command does next.
  """

  def __init__(self, signal_number: int, way_on: str = 'begins again'):
    super().__init__(signal.Signals(signal_number).name)
    self.exit_code = 128 + signal_number
    self.way_on = way_on
