"""Plug-ins: files of one's own, named by `--plugin=FILE.py`, whose names work in every spec.

A plug-in is a module with tables of builders by name, called as the catalogues are:

    STAGES = {'max_scaled': MaxScaled}
    POLICIES = {'every_second': EverySecond}

It runs as any Python does, with all the rights of who starts the binary. A run records path and SHA-256 of each.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import contextvars
import dataclasses
import difflib
import hashlib
import inspect
import keyword
import pathlib
import sys
import threading
import traceback
import types
from typing import Any
from typing import NamedTuple

from data import errors
from experiments.command import builder_docs
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import plugin_builders
from experiments.command import plugin_tables
from experiments.command import spec

_HASH = '#sha256='
_ALWAYS_TAKEN = ('help',)  # What any flag says of its names.


class Plugin(NamedTuple):
  """A plug-in that was loaded.

  Attributes:
    path: Absolute.
    sha256: The file's hash, in hexadecimal digits.
    names: The names that it adds, by the table that has them.
  """

  path: pathlib.Path
  sha256: str
  names: Mapping[str, Sequence[str]]

  @property
  def text(self) -> str:
    """The argument of `--plugin` that takes this file only as it is."""
    return f'{self.path}{_HASH}{self.sha256}'


_loaded: dict[pathlib.Path, Plugin] = {}
_lock = threading.RLock()
_in_use: list[tuple[int, tuple[str, ...]]] = []  # Threads in blocks of `using`, and what each names.
_used: contextvars.ContextVar[Sequence[Plugin] | None] = contextvars.ContextVar('used', default=None)


def load(text: str) -> Plugin:
  """Runs a plug-in, unless that was done before, and adds its names to the catalogues.

  Args:
    text: The path of a Python file, or `PATH#sha256=HEX`.

  Returns:
    The plug-in.

  Raises:
    UsageError: If the file cannot be read, is another than the hash says, raises, adds nothing, or adds a name that
      exists or is none. The catalogues are then as they were.
  """
  path, content, sha256 = _read(text)
  if path in _loaded:
    if _loaded[path].sha256 != sha256:
      raise failures.UsageError(f'--plugin={path} has changed since it was loaded: start a new process')
    return _loaded[path]
  module = _run(path, content, sha256)
  found, known = _found(module, path), plugin_tables.tables()
  for name, builders in found.items():
    _check(name, builders, known, path)
  for table, builders in found.items():
    known[table].builders.update(
      {
        name: plugin_builders.checked(builder, known[table], f'--plugin={path}: {table}[{name!r}]')
        for name, builder in builders.items()
      }
    )
  _loaded[path] = Plugin(path, sha256, {name: tuple(builders) for name, builders in found.items()})
  return _loaded[path]


@contextlib.contextmanager
def using(texts: Sequence[str]) -> Iterator[list[Plugin]]:
  """Loads plug-ins as `load` does, and yields them; after the block the catalogues are as they were.

  Raises:
    UsageError: As `load`, and if another thread is in such a block with other plug-ins, as all threads share the catalogues.
  """
  wanted = (threading.get_ident(), tuple(map(fixed, texts)))
  with _lock:
    if any(thread != wanted[0] and named != wanted[1] for thread, named in _in_use):
      raise failures.UsageError('another thread runs with other plug-ins: give both the same, or wait for it')
    before = set(_loaded)
    try:
      found = [load(text) for text in texts]
    except BaseException:
      _keep(before)
      raise
    _in_use.append(wanted)
  token = _used.set(found)
  try:
    yield found
  finally:
    _used.reset(token)
    with _lock:
      _in_use.remove(wanted)
      if not any(named == wanted[1] for _, named in _in_use):
        _keep(before)


def _keep(paths: Collection[pathlib.Path]) -> None:
  """Takes away what all plug-ins but some have added."""
  for path in set(_loaded) - set(paths):
    for table, names in _loaded.pop(path).names.items():
      for name in names:
        del plugin_tables.tables()[table].builders[name]


def loaded() -> list[Plugin]:
  """Returns the plug-ins of this process, in the order in which they were loaded."""
  return list(_loaded.values())


@contextlib.contextmanager
def blamed() -> Iterator[None]:
  """Raises `UsageError` in the place of an error that comes out of a plug-in's code in the block and that nobody foresaw."""
  try:
    yield
  except (failures.UsageError, failures.RunEnded, spec.SpecError, errors.DataError):
    raise
  except (Exception, SystemExit) as error:
    called = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    for path in _loaded:
      if str(path) in called:
        raise failures.UsageError(_blame(error, path)) from error
    raise


def has(name: str) -> bool:
  """Returns whether a name comes from a plug-in."""
  return bool(that_add([name]))


def that_add(names: Collection[str]) -> list[Plugin]:
  """Returns the plug-ins that add any of some names."""
  return [plugin for plugin in loaded() if any(each in names for added in plugin.names.values() for each in added)]


def entries() -> dict[str, dict[str, Any]]:
  """Returns what the plug-ins say of their names, as `specs.json` has it: by catalogue and name."""
  from experiments.command import algorithm_specs

  found, known = {}, plugin_tables.tables()
  for plugin in loaded():
    for table, names in plugin.names.items():
      described = {
        name: dataclasses.asdict(builder_docs.entry(known[table].builders[name].__wrapped__, algorithm_specs.describe))
        for name in names
      }
      found[known[table].key] = found.get(known[table].key, {}) | described
  return found


def settings() -> dict[str, list[str]]:
  """Returns what a run records of the plug-ins of this process: their paths and hashes; nothing without one."""
  used = _used.get()
  named = [plugin.text for plugin in (loaded() if used is None else used)]
  return {flag_table.PLUGIN: named} if named else {}


def fixed(text: str) -> str:
  """Returns an argument of `--plugin` with the hash of the file as it is now; raises `UsageError` as `load`."""
  path, _, sha256 = _read(text)
  return f'{path}{_HASH}{sha256}'


def short(text: str) -> str:
  """Returns what people call a recorded plug-in: the name of the file, and the first digits of its hash."""
  path, _, sha256 = text.partition(_HASH)
  return f'{pathlib.Path(path).name} {sha256[:8]}'.strip()


def content_hash(text: str) -> str:
  """Returns the hash that an argument made by `fixed` ends with."""
  return text.rpartition(_HASH)[2]


def _read(text: str) -> tuple[pathlib.Path, bytes, str]:
  """Returns absolute path, content and hash."""
  name, _, wanted = text.partition(_HASH)
  path = pathlib.Path(name).expanduser().absolute()
  try:
    content = path.read_bytes()
  except (OSError, ValueError) as error:
    raise failures.UsageError(
      f'--plugin={name} cannot be read: {getattr(error, "strerror", None) or error}; name a Python file'
    ) from error
  sha256 = hashlib.sha256(content).hexdigest()
  if wanted and wanted != sha256:
    raise failures.UsageError(
      f'--plugin={name} has the SHA-256 {sha256}, not {wanted}: it was changed; bring back what it was, or leave '
      f'{_HASH}... away and choose a new --output_dir'
    )
  return path, content, sha256


def _run(path: pathlib.Path, content: bytes, sha256: str) -> types.ModuleType:
  module = types.ModuleType(f'plugin_{sha256[:16]}')
  module.__file__ = str(path)
  sys.modules[module.__name__] = module  # Where dataclasses and pickle look for it.
  try:
    exec(compile(content, path, 'exec'), vars(module))
  except (KeyboardInterrupt, failures.Stopped):
    raise
  except BaseException as error:
    del sys.modules[module.__name__]
    raise failures.UsageError(_blame(error, path)) from error
  return module


def _blame(error: BaseException, path: pathlib.Path) -> str:
  """Says that a plug-in raises an error, and where."""
  lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
  line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
  where = f' in line {line}' if line else ''
  return f'--plugin={path} raises {type(error).__name__}{where}: {error}'


def _found(module: types.ModuleType, path: pathlib.Path) -> dict[str, Mapping[str, Any]]:
  """Returns the tables that a module has, by name."""
  known = plugin_tables.tables()
  found = {name: value for name, value in vars(module).items() if name in known}
  if found or any(name in plugin_tables.OF_WINGS for name in vars(module)):
    return found
  known = list(dict.fromkeys([*known, *plugin_tables.OF_WINGS]))
  like = [near for name in vars(module) for near in difflib.get_close_matches(name, known, n=1, cutoff=0.7)]
  guess = f' (did you mean {like[0]}?)' if like else ''
  raise failures.UsageError(
    f"--plugin={path} adds nothing{guess}: give it a table such as STAGES = {{'name': Builder}}; the tables are "
    f'{", ".join(known)}'
  )


def _check(name: str, builders: Any, known: Mapping[str, plugin_tables.Table], path: pathlib.Path) -> None:
  """Raises `UsageError` for a table that is none, or has a name that is none or exists."""
  if not isinstance(builders, Mapping):
    raise failures.UsageError(f"--plugin={path}: {name} is no table: write {name} = {{'name': Builder}}")
  flag_takes = known[name].flag_takes
  for each, builder in builders.items():
    if not isinstance(each, str) or not each.isidentifier() or keyword.iskeyword(each):
      raise failures.UsageError(f'--plugin={path}: {each!r} of {name} is no name: use letters, digits and _')
    if not (inspect.isclass(builder) or inspect.isfunction(builder)):
      raise failures.UsageError(f'--plugin={path}: {name}[{each!r}] is no builder: give a class or a function')
    alike = [table for table in known.values() if table.flag_takes == flag_takes]
    if each in _ALWAYS_TAKEN or any(each in table.builders or each in table.besides for table in alike):
      raise failures.UsageError(f'--plugin={path}: {each!r} of {name} exists among the {flag_takes}: rename it')
