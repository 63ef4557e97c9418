"""What the Python files of the suite import, read and start. Files are read with `ast`, nothing is imported.

String literals count as a use as well: the exact name of a module or of a Python file, and the path of a data file or
folder. The name of a binary (`'experiments.sweep'`, as in `python -m`; `'experiments.'` stands for all of the folder) says
that a file starts it as a process.
"""

import ast
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import functools
import os
import pathlib
import re

FOLDERS = ('data', 'models', 'compression', 'optimizers', 'experiments', 'examples', 'tests', 'tools')
_BINARY_FOLDERS = ('experiments', 'examples')
_PYTEST_SETTINGS = ('pyproject.toml', 'pytest.ini', 'setup.cfg')


@dataclasses.dataclass(frozen=True)
class SourceTree:
  """The files of a project; every path is relative to its root, with forward slashes."""

  root: pathlib.Path
  sources: tuple[str, ...]
  others: tuple[str, ...]  # Everything that is not Python.

  @functools.cached_property
  def modules(self) -> Mapping[str, str]:
    """From the dotted name of every module to its path; a package's name leads to its `__init__.py`."""
    return {source.removesuffix('.py').removesuffix('/__init__').replace('/', '.'): source for source in self.sources}

  @functools.cached_property
  def packages(self) -> tuple[str, ...]:
    """Every folder that gets a BUILD file: the root, and those that hold Python files."""
    return tuple(sorted({'', *map(os.path.dirname, self.sources)}))

  @functools.cached_property
  def data_labels(self) -> Mapping[str, str]:
    """From the path of every data file and data folder to the label that brings it."""
    labels = {}
    for path in self.others:
      package = os.path.dirname(path)
      while package not in self.packages:
        package = os.path.dirname(package)
      inside = path.removeprefix(package).strip('/').split('/')
      name = inside[0] if len(inside) == 1 else f'{inside[0]}_files'
      for length in range(1, len(inside) + 1):
        labels[os.path.join(package, *inside[:length])] = f'//{package}:{name}'
    return labels

  def beside(self, path: str, file: str) -> set[str]:
    """The files of one name in the folder of `path` and in those above."""
    folders = map(str, pathlib.PurePosixPath(path).parents)
    return {os.path.normpath(os.path.join(folder, file)) for folder in folders} & set(self.sources) - {path}

  def text(self, path: str) -> str:
    """The text of one file."""
    return (self.root / path).read_text(encoding='utf-8')


def read_tree(root: pathlib.Path) -> SourceTree:
  """Lists the files of the suite's folders, of its pages and of the root itself."""
  files = [entry.name for entry in root.iterdir() if entry.is_file() and not entry.name.startswith('.')]
  for top in (*FOLDERS, 'docs'):
    for folder, children, names in os.walk(root / top):
      # A folder with a WORKSPACE of its own is another Bazel repository.
      if 'WORKSPACE' in names:
        children.clear()
        continue
      children[:] = [child for child in children if child[0] != '.' and child != '__pycache__']
      files += [(pathlib.Path(folder) / name).relative_to(root).as_posix() for name in names if name[0] != '.']
  files = sorted(name for name in files if os.path.basename(name) not in ('BUILD', 'WORKSPACE'))
  sources = tuple(name for name in files if name.endswith('.py'))
  return SourceTree(root, sources, tuple(name for name in files if name not in sources))


def imported_names(syntax: ast.Module, package: str) -> Iterator[str]:
  """Yields the dotted name of everything a file imports, `from a import b` as `a.b`.

  Args:
    syntax: The parsed file.
    package: The dotted name of its folder, which relative imports start from.
  """
  for node in ast.walk(syntax):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      above = package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
      yield from ('.'.join(filter(None, [*above, node.module, alias.name])) for alias in node.names)


def literals(syntax: ast.Module) -> Iterator[str]:
  """Yields the string literals of a file except docstrings; paths put together with `/` or in one call come joined."""
  docstrings = {id(node.value) for node in ast.walk(syntax) if isinstance(node, ast.Expr)}
  for node in ast.walk(syntax):
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
      yield node.value
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
      yield '/'.join(_operands(node))
    elif isinstance(node, ast.Call):
      yield '/'.join(filter(None, (_text(argument) for argument in node.args)))


def _operands(node: ast.expr) -> list[str]:
  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
    return _operands(node.left) + _operands(node.right)
  return [_text(node)] if _text(node) else []


def _text(node: ast.expr) -> str:
  return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ''


@dataclasses.dataclass(frozen=True)
class Source:
  """What Bazel must know of one Python file."""

  path: str
  modules: frozenset[str]  # Paths of the project's files it uses.
  data: frozenset[str]  # Labels of the data files it reads.
  started: frozenset[str]  # Paths of the binaries that it starts as processes.


def read_source(tree: SourceTree, path: str) -> Source:
  """Reads one Python file of a tree."""
  syntax = ast.parse(tree.text(path), filename=path)
  folder = os.path.dirname(path)
  modules = {_module(tree, name) for name in imported_names(syntax, folder.replace('/', '.'))}
  data, named = set(), set()
  for literal in literals(syntax):
    named.update(_named_modules(tree, folder, literal))
    for word in re.split(r'[^\w./-]+', literal):
      name = word.strip('./')
      data.update(tree.data_labels.get(candidate, '') for candidate in (name, os.path.join(folder, name)))
  if is_test(path):
    data.update(f'//:{name}' for name in _PYTEST_SETTINGS if name in tree.others)
    modules.update(tree.beside(path, 'conftest.py'))
  started = {name for name in named if is_binary(tree, name)} - {path}
  return Source(path, frozenset(modules | named) - started - {'', path}, frozenset(data) - {''}, frozenset(started))


def _module(tree: SourceTree, name: str) -> str:
  """The path of the module that `name` is or lies in, '' outside the project."""
  while name and name not in tree.modules:
    name = name.rpartition('.')[0]
  return tree.modules.get(name, '')


def _named_modules(tree: SourceTree, folder: str, literal: str) -> set[str]:
  if literal.endswith('.') and literal[:-1] in _BINARY_FOLDERS:
    return {path for path in tree.sources if is_binary(tree, path) and path.startswith(f'{literal[:-1]}/')}
  module = {tree.modules[literal]} if '.' in literal and literal in tree.modules else set()
  return module | {literal, os.path.join(folder, literal)} & set(tree.sources)


def is_test(path: str) -> bool:
  """Whether a file holds tests."""
  return os.path.basename(path).startswith('test_')


def is_binary(tree: SourceTree, path: str) -> bool:
  """Whether a file is a program that users start."""
  entry = re.search(r'^if __name__ == .__main__.:', tree.text(path), re.MULTILINE)
  return path.split('/')[0] in _BINARY_FOLDERS and bool(entry)
