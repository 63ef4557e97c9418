"""Builders of plug-ins that refuse to return what the suite has no use for: it would fail far from where it was made."""

from collections.abc import Callable
import functools
from typing import Any

from experiments.command import failures
from experiments.command import plugin_tables


def checked(builder: Callable[..., Any], table: plugin_tables.Table, place: str) -> Callable[..., Any]:
  """Returns a builder that does what another does, if that returns what it should.

  Args:
    builder: The other; the new one has its name, signature and docstring, and it as `__wrapped__`.
    table: Says what it should return.
    place: Where the builder stands, for messages.

  Returns:
    The new builder, which raises `UsageError` for a result of another kind.
  """

  @functools.wraps(builder, updated=())
  def build(*args: Any, **arguments: Any) -> Any:
    built = _require(builder(*args, **arguments), table.makes, place)
    if table.made_makes is None:
      return built
    return lambda vocabulary_size: _require(built(vocabulary_size), table.made_makes, f'what {place} returns')

  return build


def _require(built: Any, makes: type, place: str) -> Any:
  if not isinstance(built, makes):
    wanted = 'a function' if makes is Callable else f'{makes.__module__}.{makes.__name__}'
    raise failures.UsageError(
      f'{place} makes {type(built).__name__}, not {wanted}: docs/extending/plugin.md says what each table is for'
    )
  return built
