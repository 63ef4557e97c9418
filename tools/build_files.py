"""Writes the BUILD file of every folder from what its Python files import, so that Bazel's dependencies stay true.

    python tools/build_files.py            rewrites the BUILD files
    python tools/build_files.py --check    exits 1 and names the stale ones

`data/store.py` becomes the library `//data:store`, `tests/test_x.py` the test `//tests:test_x`, and an experiment or
example that can be run also the binary `//experiments:<name>_main`. Files are read with `ast`, nothing is imported.
String literals count as a use as well: the exact name of a module (`'experiments.sweep'`, as in `python -m`;
`'experiments.'` stands for every binary of the folder) or of a Python file, and the path of a data file or folder.
"""

import argparse
import ast
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import functools
import graphlib
import os
import pathlib
import re
import sys

_FOLDERS = ('data', 'models', 'compression', 'optimizers', 'experiments', 'examples', 'tests', 'tools')
_BINARY_FOLDERS = ('experiments', 'examples')
_PYTEST_SETTINGS = ('pyproject.toml', 'pytest.ini', 'setup.cfg')
# Bazel starts scripts only, with their own folder first on the path; this one does what `python -m` does instead.
_LAUNCHER = '//tools/bazel:launch.py'
_HEADER = """# Written by tools/build_files.py; third-party packages come from the virtual environment.
package(default_visibility = ["//visibility:public"])"""


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
  """Lists the files of the suite's folders and of the root itself."""
  files = [entry.name for entry in root.iterdir() if entry.is_file() and not entry.name.startswith('.')]
  for top in _FOLDERS:
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


def read_source(tree: SourceTree, path: str) -> Source:
  """Reads one Python file of a tree."""
  syntax = ast.parse(tree.text(path), filename=path)
  folder = os.path.dirname(path)
  modules = {_module(tree, name) for name in imported_names(syntax, folder.replace('/', '.'))}
  data = set()
  for literal in literals(syntax):
    modules.update(_named_modules(tree, folder, literal))
    for word in re.split(r'[^\w./-]+', literal):
      name = word.strip('./')
      data.update(tree.data_labels.get(candidate, '') for candidate in (name, os.path.join(folder, name)))
  if _is_test(path):
    data.update(f'//:{name}' for name in _PYTEST_SETTINGS if name in tree.others)
    modules.update(tree.beside(path, 'conftest.py'))
  return Source(path, frozenset(modules) - {'', path}, frozenset(data) - {''})


def _module(tree: SourceTree, name: str) -> str:
  """The path of the module that `name` is or lies in, '' outside the project."""
  while name and name not in tree.modules:
    name = name.rpartition('.')[0]
  return tree.modules.get(name, '')


def _named_modules(tree: SourceTree, folder: str, literal: str) -> set[str]:
  if literal.endswith('.') and literal[:-1] in _BINARY_FOLDERS:
    return {path for path in tree.sources if _is_binary(tree, path) and path.startswith(f'{literal[:-1]}/')}
  module = {tree.modules[literal]} if '.' in literal and literal in tree.modules else set()
  return module | {literal, os.path.join(folder, literal)} & set(tree.sources)


def _is_test(path: str) -> bool:
  return os.path.basename(path).startswith('test_')


def _is_binary(tree: SourceTree, path: str) -> bool:
  entry = re.search(r'^if __name__ == .__main__.:', tree.text(path), re.MULTILINE)
  return path.split('/')[0] in _BINARY_FOLDERS and bool(entry)


def _dependencies(tree: SourceTree, source: Source) -> set[str]:
  """Paths of the library files that the target of a file needs.

  A library leaves the `__init__.py` of its own packages to whoever imports it: were it to name them, a package that
  imports its own files would be a cycle.
  """
  inits = set().union(*(tree.beside(path, '__init__.py') for path in source.modules))
  own = tree.beside(source.path, '__init__.py')
  return source.modules | (inits | own if _is_test(source.path) else inits - own - {source.path})


def _rules(tree: SourceTree, source: Source) -> Iterator[str]:
  package, file = os.path.split(source.path)
  name = file.removesuffix('.py')
  data = _relative(package, source.data)
  deps = _relative(package, _labels(_dependencies(tree, source)))
  if _is_test(source.path):
    launch = {'main': _LAUNCHER, 'args': ['pytest', source.path]}
    # Those at the top look at the whole tree and at what is installed, so that Bazel cannot know when to repeat them.
    tags = ['external'] if package == 'tests' else []
    yield _rule('py_test', name, srcs=[file, _LAUNCHER], **launch, data=data, tags=tags, deps=deps)
    return
  yield _rule('py_library', name, srcs=[file], data=data, deps=deps)
  if _is_binary(tree, source.path):
    module = f'{package}/{name}'.replace('/', '.')
    deps = _relative(package, _labels({source.path} | tree.beside(source.path, '__init__.py')))
    yield _rule('py_binary', f'{name}_main', srcs=[_LAUNCHER], main=_LAUNCHER, args=[module], deps=deps)


def _labels(paths: set[str]) -> set[str]:
  return {f'//{os.path.dirname(path)}:{os.path.basename(path).removesuffix(".py")}' for path in paths}


def _relative(package: str, labels: Collection[str]) -> list[str]:
  here = f'//{package}:'
  near = sorted(label.removeprefix(f'//{package}') for label in labels if label.startswith(here))
  return near + sorted(label for label in labels if not label.startswith(here))


def _rule(kind: str, name: str, **attributes: str | list[str]) -> str:
  lines = [f'    {key} = {_value(value)},' for key, value in {'name': name, **attributes}.items() if value]
  return '\n'.join([f'{kind}(', *lines, ')'])


def _value(value: str | list[str]) -> str:
  if isinstance(value, str):
    return f'"{value}"'
  if len(value) == 1:
    return f'["{value[0]}"]'
  return '\n'.join(['[', *(f'        "{item}",' for item in value), '    ]'])


def _data_rules(package: str, labels: set[str]) -> Iterator[str]:
  """What a package gives to others that is no target of a Python file: single files, and folders as file groups."""
  names = sorted(label.rpartition(':')[2] for label in labels if label.startswith(f'//{package}:'))
  folders = [name.removesuffix('_files') for name in names if name.endswith('_files')]
  if files := [f'"{name}"' for name in names if not name.endswith('_files')]:
    yield f'exports_files([{", ".join(files)}])'
  for folder in folders:
    yield f'filegroup(\n    name = "{folder}_files",\n    srcs = glob(["{folder}/**"]),\n)'


def generate(root: pathlib.Path) -> dict[str, str]:
  """Makes the text of every BUILD file.

  Args:
    root: The folder that holds the suite's folders.

  Returns:
    From the path of each BUILD file, relative to the root, to its text.

  Raises:
    ValueError: If files import each other in a circle, which Bazel refuses.
  """
  tree = read_tree(root)
  sources = [read_source(tree, path) for path in tree.sources]
  try:
    graphlib.TopologicalSorter({source.path: _dependencies(tree, source) for source in sources}).prepare()
  except graphlib.CycleError as error:
    raise ValueError('these files import each other in a circle: ' + ' -> '.join(error.args[1])) from error
  shared = {_LAUNCHER}.union(*(source.data for source in sources))
  texts = {}
  for package in tree.packages:
    here = (source for source in sources if os.path.dirname(source.path) == package)
    rules = [*_data_rules(package, shared), *(rule for source in here for rule in _rules(tree, source))]
    texts[os.path.join(package, 'BUILD')] = '\n\n'.join([_HEADER, *rules]) + '\n'
  return texts


def stale(root: pathlib.Path) -> list[str]:
  """Says, a line each, which BUILD files are missing, outdated or left over."""
  wanted = generate(root)
  present = {path.relative_to(root).as_posix(): path.read_text(encoding='utf-8') for path in _written(root)}
  changed = [path for path in wanted if present.get(path) != wanted[path]]
  lines = [f'{path} is {"stale" if path in present else "missing"}' for path in changed]
  return sorted(lines + [f'{path} is left over' for path in present if path not in wanted])


def _written(root: pathlib.Path) -> list[pathlib.Path]:
  """The BUILD files that exist and are this script's; those of Bazel's local repositories are not."""
  found = [root / 'BUILD', *(path for top in _FOLDERS for path in (root / top).rglob('BUILD'))]
  return [path for path in found if path.is_file() and path.read_text(encoding='utf-8').startswith(_HEADER)]


def main(root: pathlib.Path, arguments: list[str]) -> int:
  """Rewrites or checks the BUILD files under `root` and returns the exit code."""
  parser = argparse.ArgumentParser(description='Writes the BUILD file of every folder from its imports.')
  parser.add_argument('--check', action='store_true', help='change nothing; exit 1 and name the stale files, if any')
  if parser.parse_args(arguments).check:
    lines = stale(root)
    for line in lines:
      print(f'{line}: run python tools/build_files.py', file=sys.stderr)
    return 1 if lines else 0
  wanted = generate(root)
  for path in _written(root):
    path.unlink()
  for path, text in wanted.items():
    (root / path).write_text(text, encoding='utf-8')
  return 0


if __name__ == '__main__':
  sys.exit(main(pathlib.Path(__file__).resolve().parents[1], sys.argv[1:]))
