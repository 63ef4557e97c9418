"""Lists of specs in one text, separated by `;`, where a word stands for those of the suite."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from experiments.command import spec as spec_lib


def read(text: str, flag: str, word: str, suite: Sequence[str], build: Callable[[str], Any]) -> list[str]:
  """Returns each spec of a list once, in order.

  Args:
    text: The list.
    flag: The flag that it is an argument of.
    word: What stands for `suite`.
    suite: Specs.
    build: Raises `SpecError` for a spec that cannot be built.

  Raises:
    SpecError: If there is none, or one cannot be built.
  """
  parts = [part.strip() for part in text.split(';') if part.strip()]
  specs = [spec for part in parts for spec in (suite if part == word else [part])]
  if not specs:
    raise spec_lib.SpecError(f"--{flag} names none: write some, separated by ';', or {word}")
  for spec in specs:
    build(spec)
  return list(dict.fromkeys(specs))
