"""Writes the BUILD file of every folder from what its Python files use, so that Bazel's dependencies stay true.

    python -m tools.build_files            rewrites the BUILD files
    python -m tools.build_files --check    exits 1 and names the stale ones

`data/store.py` becomes the library `//data:store`, `tests/test_x.py` the test `//tests:test_x`, and an experiment or
example that can be run also the binary `//experiments:<name>_main`. A binary that a file starts as a process comes with
every test and binary that uses the file: a library that brought it along would make a circle.
"""

import argparse
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import graphlib
import os
import pathlib
import sys

from tools import source_files

# Bazel starts scripts only, with their own folder first on the path; this one does what `python -m` does instead.
_LAUNCHER = '//tools/bazel:launch.py'
_HEADER = """# Written by tools/build_files.py; third-party packages come from the virtual environment.
package(default_visibility = ["//visibility:public"])"""


def _dependencies(tree: source_files.SourceTree, source: source_files.Source) -> set[str]:
  """Paths of the library files that the target of a file needs.

  A library leaves the `__init__.py` of its own packages to whoever imports it: were it to name them, a package that
  imports its own files would be a cycle.
  """
  inits = set().union(*(tree.beside(path, '__init__.py') for path in source.modules))
  own = tree.beside(source.path, '__init__.py')
  return source.modules | (inits | own if source_files.is_test(source.path) else inits - own - {source.path})


def _started(sources: Mapping[str, source_files.Source], uses: Mapping[str, set[str]], path: str) -> set[str]:
  """Paths of the binaries that a file starts, or what it uses, or what they start."""
  found, seen, waiting = set(), {path}, [path]
  while waiting:
    one = waiting.pop()
    found |= sources[one].started
    new = (uses[one] | sources[one].started) - seen
    seen |= new
    waiting += new
  return found


def _rules(
  tree: source_files.SourceTree, source: source_files.Source, uses: set[str], started: set[str]
) -> Iterator[str]:
  package, file = os.path.split(source.path)
  name = file.removesuffix('.py')
  data = _relative(package, source.data)
  if source_files.is_test(source.path):
    with_binaries = uses | started | set().union(*(tree.beside(path, '__init__.py') for path in started))
    deps = _relative(package, _labels(with_binaries))
    launch = {'main': _LAUNCHER, 'args': ['pytest', source.path]}
    # Those at the top look at the whole tree and at what is installed, so that Bazel cannot know when to repeat them.
    tags = ['external'] if package == 'tests' else []
    yield _rule('py_test', name, srcs=[file, _LAUNCHER], **launch, data=data, tags=tags, deps=deps)
    return
  yield _rule('py_library', name, srcs=[file], data=data, deps=_relative(package, _labels(uses)))
  if source_files.is_binary(tree, source.path):
    module = f'{package}/{name}'.replace('/', '.')
    deps = _relative(package, _labels({source.path} | started | tree.beside(source.path, '__init__.py')))
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
  tree = source_files.read_tree(root)
  sources = {path: source_files.read_source(tree, path) for path in tree.sources}
  uses = {path: _dependencies(tree, source) for path, source in sources.items()}
  try:
    graphlib.TopologicalSorter(uses).prepare()
  except graphlib.CycleError as error:
    raise ValueError('these files import each other in a circle: ' + ' -> '.join(error.args[1])) from error
  shared = {_LAUNCHER}.union(*(source.data for source in sources.values()))
  texts = {}
  for package in tree.packages:
    rules = list(_data_rules(package, shared))
    for path in (path for path in sources if os.path.dirname(path) == package):
      rules += _rules(tree, sources[path], uses[path], _started(sources, uses, path))
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
  found = [root / 'BUILD', *(path for top in source_files.FOLDERS for path in (root / top).rglob('BUILD'))]
  return [path for path in found if path.is_file() and path.read_text(encoding='utf-8').startswith(_HEADER)]


def main(root: pathlib.Path, arguments: list[str]) -> int:
  """Rewrites or checks the BUILD files under `root` and returns the exit code."""
  parser = argparse.ArgumentParser(description='Writes the BUILD file of every folder from its imports.')
  parser.add_argument('--check', action='store_true', help='change nothing; exit 1 and name the stale files, if any')
  if parser.parse_args(arguments).check:
    lines = stale(root)
    for line in lines:
      print(f'{line}: run make build-files', file=sys.stderr)
    return 1 if lines else 0
  wanted = generate(root)
  for path in _written(root):
    path.unlink()
  for path, text in wanted.items():
    (root / path).write_text(text, encoding='utf-8')
  return 0


if __name__ == '__main__':
  sys.exit(main(pathlib.Path(__file__).resolve().parents[1], sys.argv[1:]))
