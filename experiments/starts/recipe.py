"""Models with a recipe: a flag file of `experiments.pretrain`, followed when the model is used first, kept in the cache."""

import hashlib
import os
import pathlib
import subprocess
import sys

from data import cache
from data import catalog
from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import plugins
from experiments.command import spec
from experiments.command import tied_process

RECIPES = command_line.ROOT / 'experiments' / 'flagfiles' / 'encoders'
_SUFFIX = '.flags'
_VERSION = 'version=1'  # Of what a pre-training makes of a recipe.
_STANDARD_ERROR = 2  # The file descriptor: what a run prints is its own result only.


def names(recipes: pathlib.Path = RECIPES) -> list[str]:
  """Returns the names of the models that have a recipe."""
  return sorted(path.stem for path in recipes.glob(f'*{_SUFFIX}'))


def folder_of(name: str, recipes: pathlib.Path = RECIPES, dataset: str | None = None) -> pathlib.Path:
  """Returns the folder of a model, which is pre-trained now unless it has been, with progress on standard error.

  Args:
    name: One of `names`.
    recipes: Folder of flag files, of which a teacher is named by its recipe.
    dataset: An argument of `--dataset` in place of the recipe's own.

  Returns:
    The folder, which `experiments.pretrain` left in the cache; another recipe, or other text, has another folder.

  Raises:
    RunEnded: If the pre-training failed. What it reached is kept, and the next call goes on from there.
    DataError: If the cache folder cannot be written.
  """
  recipe = recipes / f'{name}{_SUFFIX}'
  teacher = flag(name, 'teacher', recipes)
  changes = [] if teacher is None else [f'--teacher={folder_of(teacher, recipes, dataset)}']
  changes += [] if dataset is None else [f'--dataset={dataset}']
  folder = cache.default_dir() / 'pretrained' / f'{name}-{_key(name, recipes, dataset)[:16]}'
  if not _is_finished(folder):
    with cache.exclusive(folder.parent):
      if not _is_finished(folder):  # Another process may have been faster.
        changes += [f'--{flag_table.PLUGIN}={plugin.text}' for plugin in _plugins(name, recipes, dataset)]
        print(f'{name} is pre-trained first, once; it will be in {folder}', file=sys.stderr, flush=True)
        _follow([f'--flagfile={recipe}', *changes, f'--output_dir={folder}'], name)
  return folder


def flag(name: str, flag_name: str, recipes: pathlib.Path = RECIPES) -> str | None:
  """Returns the value of a flag in the recipe `name`; None if it is not there."""
  start = f'--{flag_name}='
  lines = (recipes / f'{name}{_SUFFIX}').read_text().splitlines()
  return next((line.removeprefix(start) for line in lines if line.startswith(start)), None)


def _key(name: str, recipes: pathlib.Path, dataset: str | None) -> str:
  """Returns a hash of the flags of a recipe but for comments, of the data they name, and the same of its teacher."""
  teacher = flag(name, 'teacher', recipes)
  lines = (recipes / f'{name}{_SUFFIX}').read_text().splitlines()
  lines = [line for line in lines if not line.startswith('#')]
  datasets = catalog.DATASETS | catalog.IMAGE_DATASETS
  prints = [spec.build(text, datasets, 'dataset').fingerprint for text in _datasets(name, recipes, dataset)]
  changes = [f'dataset={dataset}'] if dataset else []
  changes += [f'plugin {plugin.sha256}' for plugin in _plugins(name, recipes, dataset)]
  parts = [_VERSION, *lines, *prints, *changes, _key(teacher, recipes, dataset) if teacher else '']
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()


def _datasets(name: str, recipes: pathlib.Path, dataset: str | None) -> list[str]:
  """Returns the data sets that a pre-training reads."""
  named = [dataset or flag(name, 'dataset', recipes), flag(name, 'corpus', recipes)]
  return [text for text in named if text]


def _plugins(name: str, recipes: pathlib.Path, dataset: str | None) -> list[plugins.Plugin]:
  """Returns the plug-ins that it needs for them."""
  return plugins.that_add([spec.parse(text)[0].name for text in _datasets(name, recipes, dataset)])


def _is_finished(folder: pathlib.Path) -> bool:
  return (folder / 'summary.json').exists()  # The last that a pre-training writes.


def _python_path() -> str:
  """Returns where the process finds the suite, whatever folder it is in: paths of data sets are relative to that."""
  before = os.environ.get('PYTHONPATH')
  root = str(command_line.ROOT)
  return os.pathsep.join([root, before] if before else [root])


def _follow(flags: list[str], name: str) -> None:
  """Pre-trains in a process that ends with this one."""
  command = [sys.executable, '-m', 'experiments.pretrain', *flags]
  code = subprocess.run(
    [sys.executable, '-I', '-S', tied_process.__file__, str(os.getpid()), *command],
    env=os.environ | {'LEANFED_CACHE': str(cache.default_dir()), 'PYTHONPATH': _python_path()},
    stdin=subprocess.DEVNULL,
    stdout=_STANDARD_ERROR,
    check=False,
  ).returncode
  if code:
    raise failures.RunEnded(
      f'{name} could not be pre-trained: see above; the same command goes on from its last checkpoint'
    )
