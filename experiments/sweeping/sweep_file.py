"""Sweep files: TOML that says which runs a sweep consists of.

    binary = "language_model"       # The default.
    [flags]                         # For every run.
    rounds = 30
    [grid]                          # Every combination of these values.
    seed = [0, 1, 2]
    [search]                        # Of these values each run takes the one that is best on validation clients.
    algorithm = ["fed_adam(client_lr=0.3)", "fed_adam(client_lr=1.0)"]
    [[runs]]                        # Each of these, in every combination of the grid; a list is searched, too.
    name = "efficient"
    upload = "uniform(bits=8)"

The runs of this one are called `efficient-seed=0` and so on: the name, and the flags that the grid varies.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import difflib
import hashlib
import itertools
import pathlib
import re
import tomllib
import types
from typing import Any
from typing import NamedTuple

from experiments.command import command_line
from experiments.command import failures

_KEYS = ('binary', 'flags', 'grid', 'search', 'runs')
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.,=+-]*')
_RESERVED_NAMES = ('logs', 'search', 'status.md')  # What a sweep leaves beside the folders of its runs.
_NAMELESS = 'run'
_MAX_NAME = 150  # File systems take 255 bytes.


class Cell(NamedTuple):
  """One run of a sweep.

  Attributes:
    name: The name of its folder.
    flags: Its flags as text by name, but for those that are searched.
    candidates: The values among which each searched flag is chosen, by its name.
  """

  name: str
  flags: Mapping[str, str]
  candidates: Mapping[str, Sequence[str]] = types.MappingProxyType({})


class Sweep(NamedTuple):
  """A sweep: the binary that all its runs use, and the runs, no two of one name."""

  binary: str
  cells: Sequence[Cell]


def read(path: pathlib.Path, overrides: Sequence[str] = ()) -> Sweep:
  """Reads a sweep file.

  Args:
    path: The file.
    overrides: Each `flag=value`, for every run; a flag that the grid varies no longer varies.

  Returns:
    The sweep.

  Raises:
    UsageError: For a file that cannot be read, an unknown key, a value that is no flag value, an empty list, and two
      runs of one name.
  """
  try:
    content = tomllib.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise failures.UsageError(f'cannot read --sweep={path}: {error.strerror}; name a TOML file') from error
  except ValueError as error:
    raise failures.UsageError(f'{path} is not TOML: {error}') from error
  for key in content:
    if key not in _KEYS:
      raise failures.UsageError(f'{path} has an unknown key {key!r}{nearest(key, _KEYS)}; it takes {", ".join(_KEYS)}')
  fixed = dict(_override(text) for text in overrides)
  flags = _texts(_table(content, 'flags', path), f'[flags] of {path}')
  grid = _lists(_table(content, 'grid', path), f'[grid] of {path}')
  grid = {name: values for name, values in grid.items() if name not in fixed}
  search = _lists(_table(content, 'search', path), f'[search] of {path}')
  runs = [
    (name, {**texts, **fixed}, {flag: values for flag, values in searched.items() if flag not in fixed})
    for name, texts, searched in _runs(content.get('runs', [{}]), search, path)
  ]
  _check_once(flags, grid, search, runs, fixed, path)
  cells = _cells(flags, grid, runs)
  _check_names(cells, path)
  return Sweep(_binary(content, path), named(cells))


def nearest(name: str, choices: Iterable[str]) -> str:
  """Returns ' (did you mean ...?)' if one of the choices is much like the name, else nothing."""
  matches = difflib.get_close_matches(name, list(choices), n=1)
  return f' (did you mean {matches[0]!r}?)' if matches else ''


def _binary(content: Mapping[str, Any], path: pathlib.Path) -> str:
  binary = content.get('binary', 'language_model')
  if not (isinstance(binary, str) and binary.isidentifier()):
    raise failures.UsageError(f'binary of {path} is {binary!r}: name a binary such as "language_model"')
  module = f'experiments.{binary}'
  if not (command_line.ROOT / f'{module.replace(".", "/")}.py').exists():
    raise failures.UsageError(f'binary of {path} is {binary!r}, but there is no {module}')
  return binary


def _table(content: Mapping[str, Any], key: str, path: pathlib.Path) -> Mapping[str, Any]:
  table = content.get(key, {})
  if not isinstance(table, dict):
    raise failures.UsageError(f'{key} of {path} is no table: write [{key}] and a line for each flag below it')
  return table


def _override(text: str) -> tuple[str, str]:
  name, equals, value = text.partition('=')
  if not (equals and name.isidentifier()):
    raise failures.UsageError(f"--set={text} is not understood: write --set='flag=value'")
  return name, value


def _lists(table: Mapping[str, Any], where: str) -> dict[str, list[str]]:
  for name, values in table.items():
    if not isinstance(values, list):
      raise failures.UsageError(f'{name} in {where} is no list: write {name} = [...], or put it into [flags]')
    if not values:
      raise failures.UsageError(f'{name} in {where} is an empty list: give it a value or take it out')
  lists = {name: [_text(value, name, where) for value in values] for name, values in table.items()}
  for name, texts in lists.items():
    if repeated := [text for text in texts if texts.count(text) > 1]:
      raise failures.UsageError(f'{name} in {where} lists {repeated[0]!r} twice: list a value once')
  return lists


def _runs(
  tables: Any, search: Mapping[str, list[str]], path: pathlib.Path
) -> list[tuple[str, dict[str, str], dict[str, list[str]]]]:
  """Returns the name of each of the tables, its flags, and what is searched for it: its own lists, and `search` beside them."""
  if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
    raise failures.UsageError(f'runs of {path} is no list of tables: write [[runs]], a name and a line for each flag')
  if not tables:
    raise failures.UsageError(f'runs of {path} is an empty list: write a [[runs]] or take it out')
  found = []
  for table in tables:
    name = table.get('name', '') if table else ''
    if table and not (isinstance(name, str) and _NAME.fullmatch(name)):
      raise failures.UsageError(
        f'a [[runs]] of {path} has the name {name!r}: give it one of letters, digits and the signs _.,=+- '
      )
    where, flags = f'run {name!r} of {path}', {flag: value for flag, value in table.items() if flag != 'name'}
    lists = _lists({flag: value for flag, value in flags.items() if isinstance(value, list)}, where)
    texts = _texts({flag: value for flag, value in flags.items() if flag not in lists}, where)
    searched = {**search, **lists}
    found.append((name, texts, {flag: values for flag, values in searched.items() if flag not in texts}))
  return found


def _texts(table: Mapping[str, Any], where: str) -> dict[str, str]:
  return {name: _text(value, name, where) for name, value in table.items()}


def _text(value: Any, name: str, where: str) -> str:
  if not isinstance(value, bool | int | float | str):
    raise failures.UsageError(f'{name} in {where} is {value!r}: a flag takes text in quotes, a number, true or false')
  return command_line.flag_text(value)


def _check_once(
  flags: Mapping[str, str],
  grid: Mapping[str, Sequence[str]],
  search: Mapping[str, Sequence[str]],
  runs: Sequence[tuple[str, Mapping[str, str], Mapping[str, Sequence[str]]]],
  fixed: Mapping[str, str],
  path: pathlib.Path,
) -> None:
  """Raises `UsageError` for a flag that the grid varies and another table sets, and for what a sweep decides itself."""
  tables = [('[flags]', flags), *((f'run {name!r}', {**texts, **searched}) for name, texts, searched in runs)]
  for where, texts in [('--set', fixed), ('[grid]', grid), ('[search]', search), *tables]:
    if 'output_dir' in texts:
      raise failures.UsageError(f'output_dir in {where} of {path}: a sweep names the folders of its runs; take it out')
  for where, texts in tables:
    for name in texts:
      if name in grid:
        raise failures.UsageError(f'{path} varies {name} in [grid] and sets it in {where}: keep one of them')
  for name in search:
    if name in flags:
      raise failures.UsageError(f'{path} searches {name} in [search] and sets it in [flags]: keep one of them')
  if any(searched and 'eval_split' in {**flags, **grid, **texts, **searched} for _, texts, searched in runs):
    raise failures.UsageError(
      f'{path} searches, and sets eval_split, which is validation for a search and heldout for what follows: take it out'
    )


def _cells(
  flags: Mapping[str, str],
  grid: Mapping[str, Sequence[str]],
  runs: Sequence[tuple[str, Mapping[str, str], Mapping[str, Sequence[str]]]],
) -> list[tuple[tuple[str, ...], Cell]]:
  """Returns for each run what tells it from the others as written, and its cell, whose name may not be unique yet."""
  found = []
  for (name, texts, searched), values in itertools.product(runs, itertools.product(*grid.values())):
    chosen = dict(zip(grid, values, strict=True))
    varied = [f'{flag}={value}' for flag, value in chosen.items() if len(grid[flag]) > 1]
    written = tuple(part for part in (name, *varied) if part) or (_NAMELESS,)
    fixed = {flag: value for flag, value in {**flags, **chosen, **texts}.items() if flag not in searched}
    found.append((written, Cell(file_name(written), fixed, searched)))
  return found


def file_name(parts: Sequence[str]) -> str:
  """Leaves of some specs what any file system and shell takes as it is: `uniform-bits=8` of `uniform(bits=8)`."""
  bare = (re.sub(r'[\s"\']', '', part) for part in parts)
  return '-'.join(re.sub(r'[^A-Za-z0-9_.,=+-]+', '-', part).rstrip('-') for part in bare)


def _check_names(cells: Sequence[tuple[tuple[str, ...], Cell]], path: pathlib.Path) -> None:
  """Raises `UsageError` for two runs of one name, and for a name that a sweep needs itself."""
  for index, (written, cell) in enumerate(cells):
    if written in [other for other, _ in cells[:index]]:
      raise failures.UsageError(f'{path} has two runs of the name {cell.name!r}: name each otherwise')
    if cell.name in _RESERVED_NAMES:
      raise failures.UsageError(
        f'{path} has a run of the name {cell.name!r}, which a sweep needs itself: choose another'
      )


def named(cells: Sequence[tuple[tuple[str, ...], Cell]], longest: int = _MAX_NAME) -> list[Cell]:
  """Makes names of cells unique and short.

  Args:
    cells: Each with what tells it from the others as written; names may be equal that differ in signs only that no file
      name has.
    longest: The characters up to which a name that no other cell has is kept.

  Returns:
    The cells, with a digest of what was written in names that were not unique or too long.
  """
  names = [cell.name for _, cell in cells]
  return [
    cell if names.count(cell.name) == 1 and len(cell.name) <= longest else cell._replace(name=_digested(written, cell))
    for written, cell in cells
  ]


def _digested(written: Sequence[str], cell: Cell) -> str:
  return f'{cell.name[:_MAX_NAME]}-{hashlib.sha256(repr(written).encode()).hexdigest()[:6]}'
