"""What is installed is what requirements.txt pins, and the set-up script says what is missing."""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]


def _pins() -> dict[str, str]:
  text = (_ROOT / 'requirements.txt').read_text()
  return dict(re.findall(r'^([a-z0-9._-]+)==(\S+)', text, re.MULTILINE))


@pytest.mark.parametrize(
  ('module', 'package'),
  [
    ('tensorflow', 'tensorflow'),
    ('tensorflow_federated', 'tensorflow-federated'),
    ('tensorflow_text', 'tensorflow-text'),
    ('tensorflow_model_optimization', 'tensorflow-model-optimization'),
  ],
)
def test_imports_in_the_pinned_version(module, package):
  imported = __import__(module)
  assert imported.__version__ == importlib.metadata.version(package) == _pins()[package]


def test_everything_pinned_is_installed():
  wrong = {}
  for package, version in _pins().items():
    installed = importlib.metadata.version(package)
    if installed != version:
      wrong[package] = installed
  assert not wrong


def test_every_pin_has_a_hash_and_no_index_is_named():
  text = (_ROOT / 'requirements.txt').read_text()
  blocks = re.split(r'\n(?=[a-z0-9])', text)
  assert all('--hash=sha256:' in block for block in blocks if '==' in block)
  assert '://' not in text


def test_the_packages_of_loggers_move_no_pin_and_have_hashes():
  blocks = re.split(r'\n(?=[a-z0-9])', (_ROOT / 'requirements-loggers.txt').read_text())[1:]
  names = [block.partition('==')[0] for block in blocks]
  assert {'wandb', 'mlflow-skinny'} <= set(names) and not set(names) & set(_pins())
  assert all('--hash=sha256:' in block for block in blocks)


def test_the_packages_for_gpus_are_those_tensorflow_names_but_tensorrt():
  blocks = re.split(r'\n(?=[a-z0-9])', (_ROOT / 'requirements-gpu.txt').read_text())[1:]
  named = [
    re.fullmatch(r'([\w-]+) ?\(?==([\d.]+)\)? ?; ?extra == .and-cuda.', each)
    for each in importlib.metadata.requires('tensorflow')
  ]
  wanted = {match[1]: match[2] for match in named if match}
  assert wanted.pop('tensorrt')  # It has no wheel for Python 3.11 any more.
  assert {block.split()[0] for block in blocks} == {f'{name}=={version}' for name, version in wanted.items()}
  assert all('--hash=sha256:' in block for block in blocks)


def _setup(folder: pathlib.Path, path: str, requirements: str = '') -> subprocess.CompletedProcess[str]:
  """Runs the set-up in a folder of its own, where only the programs of `path` exist."""
  (folder / 'requirements.txt').write_text(requirements)
  return subprocess.run(
    ['/bin/sh', str(_ROOT / 'tools' / 'setup.sh')],
    cwd=folder,
    env={'PATH': path, 'HOME': str(folder)},
    capture_output=True,
    text=True,
    check=False,
  )


def _programs(folder: pathlib.Path, **scripts: str) -> str:
  """Makes a folder that holds the basic programs and the given shell scripts; returns it as a PATH."""
  folder.mkdir()
  for name in ('cksum', 'cat', 'uname', 'mv', 'rm', 'tail'):
    (folder / name).symlink_to(subprocess.check_output(['which', name], text=True).strip())
  for name, script in scripts.items():
    (folder / name).write_text('#!/bin/sh\n' + script)
    (folder / name).chmod(0o755)
  return str(folder)


def test_setup_says_that_python_is_missing(tmp_path):
  process = _setup(tmp_path, _programs(tmp_path / 'bin', python3='echo 3.9'))
  assert process.returncode == 2
  assert process.stderr.startswith('setup: Python 3.11 is missing.')
  assert len(process.stderr.splitlines()) == 1


def test_setup_says_that_venv_is_missing(tmp_path):
  script = 'case "$2" in *ensurepip*) exit 1;; *) echo 3.11;; esac'
  process = _setup(tmp_path, _programs(tmp_path / 'bin', python3=script))
  assert process.returncode == 2
  assert 'apt-get install python3.11-venv' in process.stderr


def test_setup_names_the_platform(tmp_path):
  path = _programs(tmp_path / 'bin', python3='echo 3.11')
  (tmp_path / 'bin' / 'uname').unlink()
  (tmp_path / 'bin' / 'uname').write_text('#!/bin/sh\necho Darwin\n')
  (tmp_path / 'bin' / 'uname').chmod(0o755)
  process = _setup(tmp_path, path)
  assert process.returncode == 2
  assert 'Linux on x86-64 only' in process.stderr


def test_setup_installs_then_does_nothing_and_mends_what_was_interrupted(tmp_path):
  path = _programs(tmp_path / 'bin') + os.pathsep + str(pathlib.Path(sys.executable).resolve().parent)
  process = _setup(tmp_path, path)  # With an empty list of requirements.
  assert process.returncode == 0
  assert [line.split(' ')[1] for line in process.stdout.splitlines()] == ['making', 'installing', 'done']
  assert process.stderr == ''
  stamp = tmp_path / '.venv' / '.installed'
  before = stamp.stat().st_mtime_ns
  assert _setup(tmp_path, path).stdout == ''
  assert stamp.stat().st_mtime_ns == before
  stamp.unlink()  # What an interruption leaves: an environment without a stamp, here without its Python too.
  (tmp_path / '.venv' / 'bin' / 'python').unlink()
  assert _setup(tmp_path, path).returncode == 0
  assert (tmp_path / '.venv' / 'bin' / 'python').exists()
  assert stamp.exists()


def test_setup_names_its_log_when_a_step_fails(tmp_path):
  path = _programs(tmp_path / 'bin') + os.pathsep + str(pathlib.Path(sys.executable).resolve().parent)
  process = _setup(tmp_path, path, requirements='no requirement at all!')
  assert process.returncode == 2
  assert process.stderr.splitlines()[-1].startswith('setup: that failed; all that was printed is in .venv.log.')
  assert 'no requirement at all!' in (tmp_path / '.venv.log').read_text()
  assert not (tmp_path / '.venv' / '.installed').exists()
