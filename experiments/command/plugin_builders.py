"""Builders of plug-ins that refuse to return what the suite has no use for: it would fail far from where it was made."""

from collections.abc import Callable
import functools
from typing import Any

from experiments.command import failures


def checked(builder: Callable[..., Any], makes: type, place: str, made_makes: type | None = None) -> Callable[..., Any]:
  """Returns a builder that does what another does, if that returns what it should.

  Args:
    builder: The other; the new one has its name, signature and docstring, and it as `__wrapped__`.
    makes: What it should return.
    place: Where the builder stands, for messages.
    made_makes: What that should make of a vocabulary size; None if it is no such function.

  Returns:
    The new builder, which raises `UsageError` for a result of another kind.
  """

  @functools.wraps(builder, updated=())
  def build(*args: Any, **arguments: Any) -> Any:
    built = _require(builder(*args, **arguments), makes, place)
    if made_makes is None:
      return built
    return lambda vocabulary_size: _require(built(vocabulary_size), made_makes, f'what {place} returns')

  return build


def _require(built: Any, makes: type, place: str) -> Any:
  if not isinstance(built, makes):
    wanted = 'a function' if makes is Callable else f'{makes.__module__}.{makes.__name__}'
    raise failures.UsageError(
      f'{place} makes {type(built).__name__}, not {wanted}: docs/extending/plugin.md says what each table is for'
    )
  return built
