"""Small runs of the language-model binary, as processes that tests may disturb."""

from collections.abc import Callable
import contextlib
import csv
import os
import pathlib
import subprocess
import sys
import time

import safetensors.numpy

from tests import binaries

ROOT = pathlib.Path(__file__).parents[1]
RUNTIMES = ('worker', 'in_process')  # Of one machine: what a run survives, it survives in both.
NOT_REPEATABLE = ('round_seconds', 'worker_rss_bytes', 'round_retries')


def write_text(folder: pathlib.Path) -> pathlib.Path:
  """Writes twenty-three clients, among them one without a sentence, one of a single word and one of unknown characters."""
  for client in range(20):
    (folder / f"client {client} 'quoted'").mkdir()
    lines = [f'The cat number {client} sat on mat {n % 7} and looked at bird {n % 5}.' for n in range(12)]
    (folder / f"client {client} 'quoted'" / 'a.txt').write_text('\n'.join(lines))
  for name, content in (('empty', ''), ('single', 'cat'), ('unknown', '\u4e00\u4e01\u4e02')):
    (folder / name).mkdir()
    (folder / name / 'a.txt').write_text(content)
  return folder


def environment(cache: pathlib.Path) -> dict[str, str]:
  """Returns the environment of a run that prepares its data in `cache`."""
  return os.environ | {'LEANFED_CACHE': str(cache)}


def command(text: pathlib.Path, output_dir: pathlib.Path, **flags) -> list[str]:
  """Returns the command line of a run of four rounds; `flags` are added or take another value."""
  settings = {
    'dataset': f'text(path={str(text)!r}, vocabulary=60)',
    'model': 'lstm(width=8, num_cells=8)',
    'upload': 'uniform(bits=8)',
    'rounds': 4,
    'clients_per_round': 5,
    'rounds_per_eval': 2,
    'rounds_per_checkpoint': 2,
    'output_dir': output_dir,
  } | flags
  arguments = [f'--{name}={value}' for name, value in settings.items()]
  return [sys.executable, '-m', 'experiments.language_model', *arguments]


def finish(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
  """Runs a command, `python -m BINARY ...`, to its end."""
  return binaries.run(*_binary(command), environment)


def running(command: list[str], environment: dict[str, str]) -> contextlib.AbstractContextManager[binaries.Running]:
  """Starts a command, `python -m BINARY ...`; it ends with the block, killed if need be."""
  return binaries.running(*_binary(command), environment)


def _binary(command: list[str]) -> tuple[str, list[str]]:
  assert command[:2] == [sys.executable, '-m'], command
  return command[2], command[3:]


def wait_for(condition: Callable[[], object], process: binaries.Running, seconds: float = 120) -> bool:
  """Waits until a condition is true; returns whether it was before the process ended and the time was over."""
  deadline = time.monotonic() + seconds
  while time.monotonic() < deadline and process.poll() is None:
    if condition():
      return True
    time.sleep(0.005)
  return False


def num_rounds(output_dir: pathlib.Path) -> int:
  """Returns the last round that has a row, -1 without one."""
  path = output_dir / 'metrics.csv'
  return path.read_text().count('\n') - 2 if path.exists() else -1


def repeatable(output_dir: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows of `metrics.csv` without the columns that differ from run to run."""
  with (output_dir / 'metrics.csv').open(newline='') as file:
    return [{k: v for k, v in row.items() if k not in NOT_REPEATABLE} for row in csv.DictReader(file)]


def weights(output_dir: pathlib.Path) -> dict[str, bytes]:
  """Returns the bits of the model's weights, by name."""
  loaded = safetensors.numpy.load_file(output_dir / 'model.safetensors')
  return {name: array.tobytes() for name, array in loaded.items()}


def worker_pids(pid: int) -> list[int]:
  """Returns the process ids of the TFF workers that a process has started."""
  children = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
  return [int(child) for child in children if b'worker_binary' in _command_line(child).split(b'\0')[0]]


def _command_line(pid: str) -> bytes:
  try:
    return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
  except OSError:  # It has ended.
    return b''
