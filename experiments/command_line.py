"""The command that starts a binary with given flags."""

from collections.abc import Mapping
import shlex
from typing import Any


def flag_text(value: Any) -> str:
  """Returns the text of a flag's value as absl reads it: `true` for True."""
  return str(value).lower() if isinstance(value, bool) else str(value)


def flag_texts(settings: Mapping[str, Any]) -> list[str]:
  """Returns flags as a command or a flag file gives them; those that are None are left out."""
  return [f'--{name}={flag_text(value)}' for name, value in settings.items() if value is not None]


def arguments(binary: str, settings: Mapping[str, Any]) -> list[str]:
  """Returns what follows `python` to run `experiments.<binary>`; flags that are None are left out."""
  return ['-m', f'{__package__}.{binary}', *flag_texts(settings)]


def shell(binary: str, settings: Mapping[str, Any]) -> str:
  """Returns a line for a shell that runs the binary, with whatever the shell would interpret in quotes."""
  return shlex.join(['python', *arguments(binary, settings)])
