"""Reads a file of JSON lines, and says in which line it is broken."""

import codecs
from collections.abc import Iterator
import json
import pathlib
from typing import Any

from data import errors
from data.sources import json_fields


def read(file: pathlib.Path, form: str) -> Iterator[tuple[str, dict[str, Any]]]:
  """Yields where each line is, for messages, and its fields; passes over empty lines.

  Args:
    file: UTF-8, a JSON object a line.
    form: What a line looks like, for messages.

  Raises:
    DataError: For a line that is none; names the file and the line. If the file cannot be read.
  """
  try:
    with open(file, 'rb') as lines:
      for number, line in enumerate(lines, start=1):
        line = line.removeprefix(codecs.BOM_UTF8)  # Files that were joined have one in the middle.
        if line.strip():
          place = f'{str(file)!r} line {number}'
          yield place, _fields(line, place, form)
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None


def _fields(line: bytes, place: str, form: str) -> dict[str, Any]:
  pairs: list[tuple[str, Any]] = []

  def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
    pairs[:] = found  # The last that is found is the outermost object.
    return dict(found)

  try:
    fields = json.loads(line.decode(), object_pairs_hook=keep)
  except UnicodeDecodeError as error:
    raise errors.DataError(f'{place} is not UTF-8 ({error.reason}): convert the file') from None
  except (ValueError, RecursionError) as error:
    reason = str(error) or type(error).__name__
    raise errors.DataError(f'{place} is not JSON ({reason}): mend or remove it') from None
  if not isinstance(fields, dict):
    raise errors.DataError(f'{place} is not a JSON object: write {form}')
  if len(fields) < len(pairs):
    raise errors.DataError(f'{place} has the field {json_fields.twice(pairs)!r} twice: keep one')
  return fields
