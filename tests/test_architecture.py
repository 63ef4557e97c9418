"""The rules of the tree that a reader relies on: who imports whom, where flags live, how long a file or function may be."""

import ast
import collections
from collections.abc import Callable
from collections.abc import Iterator
import pathlib
import re
import subprocess

import pytest

from tools import source_files

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_LAYERS = ('data', 'models', 'compression', 'optimizers', 'experiments')  # Each may import itself and those before it.
# Of `experiments/`. Each may import itself and those before it; of two in one line neither imports the other. The binaries,
# which are files of `experiments/` itself, may import them all, and no wing imports a binary.
_WINGS = (
  ('command',),
  ('results', 'workers'),
  ('starts', 'costs', 'comparisons', 'loggers'),
  ('sweeping',),
  ('central', 'federated', 'benchmarks'),
  ('limits', 'stages'),
)
_OUTER = ('examples', 'tests', 'tools')  # These may import everything, and no layer imports them.
_FOLDERS = _LAYERS + _OUTER
_MAX_FILE_LINES = 300
_MAX_FUNCTION_LINES = 60
_USUAL_FUNCTION_LINES = 40  # Nine functions in ten are no longer than this.
_VAGUE_NAMES = ('utils.py', 'helpers.py', 'common.py')
_OTHER_DIALECTS = ('absl.testing.absltest', 'absl.testing.parameterized', 'unittest', 'unittest.TestCase')
_WITHOUT_SUBJECT = re.compile(r'\s*("""Of |[\w*`/, .-]+: (Of (?!all\b)|See there))')
_MACHINE_PATH = re.compile(r'(?<![\w.~-])/(?:work|root)/')

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Check = Callable[[pathlib.Path], list[str]]


def _files(root: pathlib.Path) -> list[str]:
  """The files that belong to the project: those git tracks or would; all of them outside a repository."""
  command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z']
  listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
  if listed.returncode:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob('*') if path.is_file())
  return sorted(path for path in listed.stdout.split('\0') if (root / path).is_file())


def _syntax(root: pathlib.Path, folders: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
  """Yields path and parsed text of every Python file in the folders."""
  for path in _files(root):
    if path.endswith('.py') and path.split('/')[0] in folders:
      yield path, ast.parse((root / path).read_text(encoding='utf-8'), filename=path)


def _functions(root: pathlib.Path) -> Iterator[tuple[str, int]]:
  """Yields place and number of lines of every function, inner ones included."""
  for path, syntax in _syntax(root, _FOLDERS):
    for node in ast.walk(syntax):
      if isinstance(node, _Function):
        yield f'{path}:{node.lineno} {node.name}', node.end_lineno - node.lineno + 1


def _imports(root: pathlib.Path, folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
  """Yields (path, dotted name) of every import in the folders."""
  for path, syntax in _syntax(root, folders):
    for name in source_files.imported_names(syntax, path.rpartition('/')[0].replace('/', '.')):
      yield path, name


def find_wrong_imports(root: pathlib.Path) -> list[str]:
  """Files that import what lies to the right of them in `data <- models <- compression <- optimizers <- experiments`."""
  wrong = []
  for path, name in _imports(root, _LAYERS):
    allowed = _LAYERS[: _LAYERS.index(path.split('/')[0]) + 1]
    if name.split('.')[0] in _FOLDERS and name.split('.')[0] not in allowed:
      wrong.append(f'{path} imports {name}')
  return wrong


def find_wrong_imports_of_wings(root: pathlib.Path) -> list[str]:
  """Files in wings of experiments that import a wing which is not before their own, or a binary."""
  floors = {wing: floor for floor, wings in enumerate(_WINGS) for wing in wings}
  wrong = []
  for path, name in _imports(root, ('experiments',)):
    wing, imported = path.split('/')[1], name.split('.')[1:2]
    if wing.endswith('.py') or name.split('.')[0] != 'experiments' or imported == [wing]:
      continue
    if not imported or floors.get(imported[0], len(_WINGS)) >= floors.get(wing, -1):
      wrong.append(f'{path} imports {name}')
  return wrong


def find_unsaid_folders(root: pathlib.Path) -> list[str]:
  """Files of the layers in folders whose `__init__.py` does not say what they hold."""
  parsed = list(_syntax(root, _LAYERS))
  said = {
    path.rpartition('/')[0] for path, syntax in parsed if path.endswith('/__init__.py') and ast.get_docstring(syntax)
  }
  return [f'{path} is in a folder that says nothing' for path, _ in parsed if path.rpartition('/')[0] not in said]


def find_flags(root: pathlib.Path) -> list[str]:
  """Files that import absl's flags although they are not experiments; tests may, to set them."""
  folders = tuple(folder for folder in _FOLDERS if folder not in ('experiments', 'tests'))
  return [f'{path} imports {name}' for path, name in _imports(root, folders) if f'{name}.'.startswith('absl.flags.')]


def find_other_dialects_of_tests(root: pathlib.Path) -> list[str]:
  """Tests that are no functions of pytest: imports of other dialects, and classes with tests."""
  found = [f'{path} imports {name}' for path, name in _imports(root, ('tests',)) if name in _OTHER_DIALECTS]
  for path, syntax in _syntax(root, ('tests',)):
    for node in ast.walk(syntax):
      functions = node.body if isinstance(node, ast.ClassDef) else []
      if any(isinstance(each, _Function) and each.name.startswith('test') for each in functions):
        found.append(f'{path}:{node.lineno} {node.name} is a class with tests')
  return found


def find_lines_without_a_subject(root: pathlib.Path) -> list[str]:
  """Lines of docstrings that say "Of ..." or "See there", of which a reader has to guess what."""
  return [
    f'{path}:{number} {line.strip()}'
    for path, _ in _syntax(root, _FOLDERS)
    for number, line in enumerate((root / path).read_text(encoding='utf-8').splitlines(), 1)
    if _WITHOUT_SUBJECT.match(line)
  ]


def find_two_things_of_one_name(root: pathlib.Path) -> list[str]:
  """Public classes that are called as another one."""
  places = collections.defaultdict(list)
  for path, syntax in _syntax(root, _LAYERS):
    for node in syntax.body:
      if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
        places[node.name].append(f'{path}:{node.lineno}')
  return [f'{found[0]} {name} is also {", ".join(found[1:])}' for name, found in places.items() if len(found) > 1]


def find_vague_names(root: pathlib.Path) -> list[str]:
  """Files that are not named for a subject."""
  return [path for path in _files(root) if path.split('/')[-1] in _VAGUE_NAMES]


def find_long_files(root: pathlib.Path) -> list[str]:
  """Python files of more than 300 lines."""
  counts = ((path, len((root / path).read_text(encoding='utf-8').splitlines())) for path, _ in _syntax(root, _FOLDERS))
  return [f'{path} has {lines} lines' for path, lines in counts if lines > _MAX_FILE_LINES]


def find_long_functions(root: pathlib.Path) -> list[str]:
  """Functions of more than 60 lines."""
  return [f'{place} has {lines} lines' for place, lines in _functions(root) if lines > _MAX_FUNCTION_LINES]


def find_too_many_long_functions(root: pathlib.Path) -> list[str]:
  """Functions of more than 40 lines if they are more than a tenth of all (rounded up, for trees of a few functions)."""
  functions = list(_functions(root))
  long = [f'{place} has {lines} lines' for place, lines in functions if lines > _USUAL_FUNCTION_LINES]
  return long if len(long) > -(-len(functions) // 10) else []


def find_missing_docstrings(root: pathlib.Path) -> list[str]:
  """Modules, public functions and public classes of the five folders that say nothing of themselves."""
  missing = []
  for path, syntax in _syntax(root, _LAYERS):
    if syntax.body and not ast.get_docstring(syntax):
      missing.append(path)
    for node in syntax.body:
      public = isinstance(node, _Function | ast.ClassDef) and not node.name.startswith('_')
      if public and not ast.get_docstring(node):
        missing.append(f'{path}:{node.lineno} {node.name}')
  return missing


def find_autograph(root: pathlib.Path) -> list[str]:
  """Places that let AutoGraph rewrite Python, which takes most of the time in which a graph is traced."""
  found = []
  for path, syntax in _syntax(root, _FOLDERS):
    without = [
      node.func
      for node in ast.walk(syntax)
      if isinstance(node, ast.Call) and any(ast.unparse(keyword) == 'autograph=False' for keyword in node.keywords)
    ]
    for node in ast.walk(syntax):
      if isinstance(node, ast.Attribute) and ast.unparse(node) == 'tf.function' and node not in without:
        found.append(f'{path}:{node.lineno} has a tf.function without autograph=False')
  return found


def find_machine_paths(root: pathlib.Path) -> list[str]:
  """Lines that name a folder of the machine they were written on."""
  found = []
  for path in _files(root):
    for number, line in enumerate((root / path).read_text(encoding='utf-8', errors='ignore').splitlines(), 1):
      found += [f'{path}:{number} {line.strip()[:80]}'] if _MACHINE_PATH.search(line) else []
  return found


def _function(lines: int) -> str:
  return 'def f():\n  """Does."""\n' + '  pass\n' * (lines - 2)


# For every check, a file that breaks its rule and a file that comes close and does not.
_RULES = [
  (find_wrong_imports, ('models/a.py', 'from optimizers import b'), ('experiments/a.py', 'from optimizers import b')),
  (find_wrong_imports, ('data/a.py', 'def f():\n  import models.lstm'), ('data/a.py', 'from tensorflow import models')),
  (
    find_wrong_imports,
    ('experiments/a.py', 'from tests import kit'),
    ('tests/a.py', 'from experiments.federated import run'),
  ),
  (find_wrong_imports, ('data/a.py', 'from .. import models'), ('models/b/a.py', 'from .. import c')),
  (
    find_wrong_imports_of_wings,
    ('experiments/command/a.py', 'from experiments.results import b'),
    ('experiments/results/a.py', 'from experiments.command import b'),
  ),
  (
    find_wrong_imports_of_wings,
    ('experiments/starts/a.py', 'from experiments.costs import b'),
    ('experiments/starts/a.py', 'from experiments.starts import b'),
  ),
  (
    find_wrong_imports_of_wings,
    ('experiments/limits/a.py', 'from experiments import sweep'),
    ('experiments/sweep.py', 'from experiments.limits import b'),
  ),
  (
    find_wrong_imports_of_wings,
    ('experiments/new/a.py', 'from experiments.command import b'),
    ('experiments/limits/a.py', 'from models import b'),
  ),
  (find_unsaid_folders, ('data/sources/a.py', '"""A."""'), ('tests/data/a.py', '')),
  (find_flags, ('models/a.py', 'from absl import flags'), ('experiments/a.py', 'from absl import flags')),
  (find_flags, ('tools/a.py', 'import absl.flags as f'), ('tools/a.py', 'from absl import logging')),
  (
    find_other_dialects_of_tests,
    ('tests/a.py', 'from absl.testing import parameterized'),
    ('tests/a.py', 'from absl.testing import flagsaver'),
  ),
  (find_other_dialects_of_tests, ('tests/a.py', 'import unittest'), ('tests/a.py', 'from unittest import mock')),
  (
    find_other_dialects_of_tests,
    ('tests/a.py', 'class ATest(tf.test.TestCase):\n  def test_a(self): pass'),
    ('tests/a.py', 'class A:\n  def run(self): pass\ndef test_a(): pass'),
  ),
  (
    find_lines_without_a_subject,
    ('data/a.py', '"""A.\n\n  seed: Of ' + 'a run."""'),
    ('data/a.py', '"""Seed: a run\'s."""'),
  ),
  (find_lines_without_a_subject, ('data/a.py', '"""Of ' + 'it."""'), ('data/a.py', '"""One of them."""')),
  (
    find_two_things_of_one_name,
    ('data/a.py', 'class A: pass\nclass A: pass'),
    ('data/a.py', 'class A: pass\nclass B: pass'),
  ),
  (find_vague_names, ('data/utils.py', ''), ('data/utilities.py', '')),
  (find_long_files, ('data/a.py', 'pass\n' * 301), ('data/a.py', 'pass\n' * 300)),
  (find_long_functions, ('tools/a.py', _function(61)), ('tools/a.py', _function(60))),
  (find_too_many_long_functions, ('data/a.py', _function(41) * 2), ('data/a.py', _function(41) + _function(40) * 9)),
  (find_missing_docstrings, ('data/a.py', 'x = 1'), ('data/__init__.py', '')),
  (find_missing_docstrings, ('data/a.py', '"""A."""\ndef f(): pass'), ('data/a.py', '"""A."""\ndef _f(): pass')),
  (find_missing_docstrings, ('data/a.py', '"""A."""\nclass F: pass'), ('tools/a.py', 'class F: pass')),
  (find_autograph, ('data/a.py', '@tf.function\ndef f(): pass'), ('data/a.py', 'tf.function(f, autograph=False)')),
  (find_autograph, ('data/a.py', 'tf.function(f, autograph=True)'), ('data/a.py', 'tf.function_type(f)')),
  (find_machine_paths, ('README.md', 'cd /' + 'work/main'), ('README.md', 'cd home/' + 'work/main; ls ~/' + 'root/')),
  (find_machine_paths, ('.ci/run', 'HOME=/' + 'root/x'), ('.ci/run', 'HOME=/home/x')),
]


@pytest.mark.parametrize('check', dict.fromkeys(check for check, _, _ in _RULES))
def test_tree_keeps_the_rule(check: _Check):
  assert check(_ROOT) == []


@pytest.mark.parametrize(('check', 'breach', 'no_breach'), _RULES)
def test_check_finds_a_planted_breach_and_nothing_else(
  check: _Check, breach: tuple[str, str], no_breach: tuple[str, str], tmp_path: pathlib.Path
):
  for folder, (path, text) in {'breach': breach, 'no_breach': no_breach}.items():
    file = tmp_path / folder / path
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding='utf-8')
  assert any(line.startswith(breach[0]) for line in check(tmp_path / 'breach'))
  assert check(tmp_path / 'no_breach') == []


def test_an_empty_tree_breaks_no_rule(tmp_path: pathlib.Path):
  assert [line for check, _, _ in _RULES for line in check(tmp_path)] == []
