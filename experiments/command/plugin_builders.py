"""Builders of plug-ins that refuse to return what the suite has no use for: it would fail far from where it was made."""

from collections.abc import Callable
import functools
from typing import Any

from experiments.command import failures


def checked(builder: Callable[..., Any], makes: type, place: str) -> Callable[..., Any]:
  """Returns a builder that does what another does, if that returns what it should.

  Args:
    builder: The other; the new one has its name, signature and docstring, and it as `__wrapped__`.
    makes: What it should return; if that is `Callable`, a function whose result is a `Model`.
    place: Where the builder stands, for messages.

  Returns:
    The new builder, which raises `UsageError` for a result of another kind.
  """

  @functools.wraps(builder, updated=())
  def build(*args: Any, **arguments: Any) -> Any:
    built = _require(builder(*args, **arguments), makes, place)
    return _of_models(built, place) if makes is Callable else built

  return build


def _of_models(build: Callable[..., Any], place: str) -> Callable[..., Any]:
  from models import model as model_lib

  return lambda vocabulary_size: _require(build(vocabulary_size), model_lib.Model, f'what {place} returns')


def _require(built: Any, makes: type, place: str) -> Any:
  if not isinstance(built, makes):
    wanted = 'a function of the vocabulary size' if makes is Callable else f'{makes.__module__}.{makes.__name__}'
    raise failures.UsageError(
      f'{place} makes {type(built).__name__}, not {wanted}: docs/extending/plugin.md says what each table is for'
    )
  return built
