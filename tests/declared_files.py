"""Holds what a binary left in a folder against the tables of files, columns and keys that the reference is written from."""

from collections.abc import Sequence
import fnmatch
import json
import pathlib

from experiments.results import columns
from experiments.results import files


def undeclared(folder: pathlib.Path, binary: str) -> list[str]:
  """Returns the names of files and folders that the table does not have for a binary."""
  patterns = [file.pattern for file in files.FILES if binary in file.binaries]
  names = [f'{path.name}{"/" if path.is_dir() else ""}' for path in folder.iterdir()]
  return [name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def undeclared_keys(path: pathlib.Path, *tables: Sequence[columns.Column]) -> set[str]:
  """Returns the keys of a JSON file that no table has."""
  return set(json.loads(path.read_text())).difference(*map(columns.names, tables))
