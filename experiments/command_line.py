"""The command that starts a binary with given flags."""

from collections.abc import Mapping
import shlex
from typing import Any


def flag_text(value: Any) -> str:
  """Returns the text of a flag's value as absl reads it: `true` for True."""
  return str(value).lower() if isinstance(value, bool) else str(value)


def arguments(binary: str, settings: Mapping[str, Any]) -> list[str]:
  """Returns what follows `python` to run `experiments.<binary>`; flags that are None are left out."""
  named = [f'--{name}={flag_text(value)}' for name, value in settings.items() if value is not None]
  return ['-m', f'{__package__}.{binary}', *named]


def shell(binary: str, settings: Mapping[str, Any]) -> str:
  """Returns a line for a shell that runs the binary, with whatever the shell would interpret in quotes."""
  return shlex.join(['python', *arguments(binary, settings)])
