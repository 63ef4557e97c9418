"""A script from any folder imports the suite, whatever modules it has beside it."""

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[3]


def _run(folder: pathlib.Path, script: str) -> subprocess.CompletedProcess[str]:
  """Runs a script of a folder, for which the suite comes last, as what `make setup` writes says."""
  (folder / 'script.py').write_text(f'import sys\nsys.path.append({str(_ROOT)!r})\n{script}')
  environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
  return subprocess.run(
    [sys.executable, str(folder / 'script.py')],
    cwd=folder,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


def test_a_script_with_modules_of_the_same_names_has_the_suite(tmp_path):
  for name in ('data', 'models'):
    (tmp_path / name).mkdir()
  (tmp_path / 'data' / '__init__.py').write_text('raise ValueError("the other one")')
  (tmp_path / 'optimizers.py').write_text('raise ValueError("the other one")')
  (tmp_path / 'tools.py').write_text('mine = True')
  done = _run(tmp_path, 'import experiments, data.errors, models, optimizers, tools\nprint(data.__file__, tools.mine)')
  assert done.returncode == 0, done.stderr
  assert done.stdout == f'{_ROOT / "data" / "__init__.py"} True\n'


def test_others_that_were_imported_before_are_named(tmp_path):
  (tmp_path / 'models.py').write_text('')
  done = _run(tmp_path, 'import models, experiments')
  assert done.returncode == 1
  assert (
    f"'models' was imported from {tmp_path / 'models.py'} before the suite: import experiments first" in done.stderr
  )
