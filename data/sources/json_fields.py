"""What JSON may hold where the name of a client or a label is wanted."""

from collections.abc import Sequence
import json

from data import errors


def client_name(value: object, place: str) -> str:
  """Returns the name of a client: text, or a whole number in digits; raises DataError that begins with `place`."""
  if isinstance(value, str):
    return value
  if isinstance(value, int) and not isinstance(value, bool):
    return str(value)
  raise errors.DataError(f'{place} {shown(value)}, which is neither text nor a whole number: write it as text')


def class_name(value: object, place: str) -> str:
  """Returns the name of a class: text, a whole number, true or false, as `label_text` has it.

  Args:
    value: What JSON has for it.
    place: What a message begins with.

  Raises:
    DataError: For anything else.
  """
  is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
  if not isinstance(value, str) and not is_whole:
    raise errors.DataError(
      f'{place} {shown(value)}, which is neither text nor a whole number, true or false: write it as text'
    )
  name = label_text(value)
  if not name.isascii() and name != name.encode('utf-8', 'replace').decode():
    raise errors.DataError(f'{place} {ascii(name)[:40]}, which is half of a character: write whole ones')
  return name


def label_text(value: object) -> str | None:
  """Returns a label as text: 0, 0.0 and "0" are one label; None for null and for what is not a number (NaN)."""
  if isinstance(value, str):
    return value
  if value is None or value != value:
    return None
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return json.dumps(value, sort_keys=True, ensure_ascii=False)


def twice(pairs: Sequence[tuple[str, object]]) -> str | None:
  """Returns a name that the fields of an object have twice, if there is one."""
  seen: set[str] = set()
  return next((name for name, _ in pairs if name in seen or seen.add(name)), None)


def shown(value: object) -> str:
  """Returns the beginning of a value as JSON has it, for messages."""
  return json.dumps(value)[:40]
