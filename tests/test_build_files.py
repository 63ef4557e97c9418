"""The BUILD files say what the Python files import."""

from collections.abc import Mapping
import pathlib

import pytest

from tools import build_files

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_ENTRY = "\nif __name__ == '__main__':\n  pass\n"
_TREE = {
  'data/store.py': 'import tensorflow\n',
  'models/lstm.py': 'from data import store\n',
  'experiments/train.py': 'import models.lstm\n' + _ENTRY,
  'experiments/presets/quick.flags': '--rounds=1\n',
  'requirements.txt': 'absl-py\n',
  'docs/a.md': '# A\n',
  'tests/test_train.py': "import data.store\ncommand = ['-m', 'experiments.train']\n",
}


def _write(root: pathlib.Path, files: Mapping[str, str]) -> None:
  for name, text in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding='utf-8')


@pytest.fixture(name='tree')
def _tree(tmp_path: pathlib.Path) -> pathlib.Path:
  """A small project whose BUILD files are up to date."""
  _write(tmp_path, _TREE)
  assert build_files.main(tmp_path, []) == 0
  return tmp_path


def _rule(root: pathlib.Path, label: str) -> str:
  """The text of one rule as it ought to be, on one line."""
  folder, name = label.removeprefix('//').split(':')
  rules = build_files.generate(root)[f'{folder}/BUILD'].split('\n\n')
  return ' '.join(next(rule for rule in rules if f'    name = "{name}",' in rule).split())


def test_build_files_of_this_tree_are_up_to_date():
  assert build_files.stale(_ROOT) == []


def test_library_depends_on_what_it_imports(tree):
  assert _rule(tree, '//models:lstm') == 'py_library( name = "lstm", srcs = ["lstm.py"], deps = ["//data:store"], )'
  assert _rule(tree, '//data:store') == 'py_library( name = "store", srcs = ["store.py"], )'


def test_experiment_with_an_entry_is_a_library_and_a_binary(tree):
  assert _rule(tree, '//experiments:train').endswith('srcs = ["train.py"], deps = ["//models:lstm"], )')
  assert _rule(tree, '//experiments:train_main').endswith('args = ["experiments.train"], deps = [":train"], )')


def test_test_file_gets_a_py_test_with_what_it_imports_and_runs(tree):
  rule = _rule(tree, '//tests:test_train')
  assert rule.startswith('py_test(')
  assert 'args = [ "pytest", "tests/test_train.py", ]' in rule
  assert 'deps = [ "//data:store", "//experiments:train", ]' in rule


@pytest.mark.parametrize(
  ('text', 'label'),
  [
    ('import data.store', '//data:store'),
    ('from data import store', '//data:store'),
    ('from data.store import x as y', '//data:store'),
    ('def f():\n  from data import store', '//data:store'),
    ('from .. import test_train', '//tests:test_train'),
    ('from . import rows', ':rows'),
    ("'experiments.train'", None),  # A bare string is a docstring.
    ("pathlib.Path(__file__).with_name('rows.py')", ':rows'),
    ("root / 'experiments' / 'presets'", '//experiments:presets_files'),
    ("os.path.join(root, 'experiments', 'presets', 'quick.flags')", '//experiments:presets_files'),
    ("run('--flagfile=experiments/presets/quick.flags')", '//experiments:presets_files'),
    ("open('requirements.txt')", '//:requirements.txt'),
    ("open('docs/a.md')", '//:docs_files'),
    ('import tensorflow.data', None),
  ],
)
def test_every_form_of_use_counts(tree, text, label):
  _write(tree, {'tests/kit/laws.py': '"""Laws."""\n' + text + '\n', 'tests/kit/rows.py': ''})
  rule = _rule(tree, '//tests/kit:laws')
  assert f' ["{label}"],' in rule if label else 'deps' not in rule and 'data =' not in rule


@pytest.mark.parametrize('text', ["'experiments.train'", "f'experiments.{name}'", "root / 'experiments' / 'train.py'"])
def test_a_binary_that_a_library_starts_comes_with_its_tests_and_binaries(tree, text):
  _write(
    tree,
    {
      'experiments/starts/recipe.py': f'command = [{text}]\n',
      'experiments/tune.py': 'from experiments.starts import recipe\n' + _ENTRY,
      'tests/kit/laws.py': 'from experiments import tune\n',
      'tests/kit/test_laws.py': 'from tests.kit import laws\n',
    },
  )
  assert 'deps' not in _rule(tree, '//experiments/starts:recipe')
  assert '":train"' not in _rule(tree, '//experiments:tune')
  assert '":train"' in _rule(tree, '//experiments:tune_main')
  assert '"//experiments:train"' in _rule(tree, '//tests/kit:test_laws')
  _write(tree, {'experiments/train.py': 'from experiments.starts import recipe\n' + _ENTRY})  # It may use the library.
  assert build_files.generate(tree)


def test_package_files_come_with_every_import_from_outside(tree):
  _write(tree, {'data/__init__.py': 'from data import store\n', 'data/text.py': 'from data import store\n'})
  assert 'deps = [":store"]' in _rule(tree, '//data:__init__')
  assert 'deps = [ "//data:__init__", "//data:store", ]' in _rule(tree, '//models:lstm')
  assert 'deps = [":store"]' in _rule(tree, '//data:text')


def test_only_tests_at_the_top_are_never_cached(tree):
  _write(tree, {'tests/models/test_x.py': ''})
  assert 'tags = ["external"]' in _rule(tree, '//tests:test_train')
  assert 'tags' not in _rule(tree, '//tests/models:test_x')


def test_conftests_and_pytest_settings_come_with_every_test(tree):
  _write(
    tree, {'pytest.ini': '', 'tests/conftest.py': '', 'tests/models/conftest.py': '', 'tests/models/test_x.py': ''}
  )
  rule = _rule(tree, '//tests/models:test_x')
  assert 'data = ["//:pytest.ini"], deps = [ ":conftest", "//tests:conftest", ]' in rule
  assert 'exports_files(["pytest.ini"])' in build_files.generate(tree)['BUILD']


@pytest.mark.parametrize(
  ('change', 'line'),
  [
    ({'models/lstm.py': ''}, 'models/BUILD is stale'),
    ({'data/text.py': ''}, 'data/BUILD is stale'),
    ({'tests/test_new.py': ''}, 'tests/BUILD is stale'),
    ({'optimizers/sgd.py': ''}, 'optimizers/BUILD is missing'),
    ({'data/BUILD': 'edited by hand'}, 'data/BUILD is missing'),
  ],
)
def test_check_names_the_stale_file_and_writing_mends_it(tree, capsys, change, line):
  assert build_files.main(tree, ['--check']) == 0
  _write(tree, change)
  assert build_files.main(tree, ['--check']) == 1
  assert capsys.readouterr().err == f'{line}: run make build-files\n'
  build_files.main(tree, [])
  assert build_files.main(tree, ['--check']) == 0


def test_build_file_of_an_emptied_folder_is_removed(tree):
  (tree / 'models/lstm.py').unlink()
  assert 'models/BUILD is left over' in build_files.stale(tree)
  build_files.main(tree, [])
  assert not (tree / 'models/BUILD').exists()


def test_folders_of_other_repositories_are_left_alone(tree):
  _write(tree, {'tools/other/WORKSPACE': '', 'tools/other/BUILD': '', 'tools/other/a.py': ''})
  assert build_files.main(tree, ['--check']) == 0


def test_circle_of_imports_is_refused_by_name(tree):
  _write(tree, {'data/store.py': 'from models import lstm\n'})
  with pytest.raises(ValueError, match=r'circle: .*models/lstm.py'):
    build_files.generate(tree)
