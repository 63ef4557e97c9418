"""A run that was killed with SIGKILL, at whatever instant, ends as one that was not."""

from collections.abc import Callable
import functools
import os
import pathlib
import random
import signal
import time
from typing import NamedTuple

import pytest

from tests import heldout_file
from tests import language_model_runs as runs

_ROUNDS = 12  # So many that a test which looks now and then finds a run still under way.
_STRESS = bool(os.environ.get('LEANFED_STRESS'))
_KINDS = {
  # State of the aggregator (the codec that clients vote on), of the schedule and of the server's optimizer.
  'adaptive': dict(upload='rate_distortion', algorithm='fed_yogi(server_schedule="cosine(rounds=12)")'),
  # State that clients share, and a part of the model drawn anew for each client.
  'mime': dict(upload='uniform(bits=4)', algorithm='mime_lite(base="momentum")', trainable='random(fraction=0.5)'),
  # State that says who has received what nobody trains.
  'frozen': dict(trainable='head', download='uniform(bits=8)', base='once'),
  # Noise of clients, of whom some vanish, in a sum that hides them.
  'hidden': dict(
    privacy='distributed(clip=0.1, noise_multiplier=1, delta=1e-5)',
    secure_sum='modular(bits=20)',
    upload='identity',
    client_dropout='bernoulli(rate=0.1)',
    client_weighting='uniform',
  ),
  # Noise that goes on from that of earlier rounds, and clients that depend on who took part before.
  'private': dict(privacy='blt(clip=0.1, noise_multiplier=1, delta=1e-5)', client_weighting='uniform'),
}


class _Reference(NamedTuple):
  """A run that nothing disturbed.

  Attributes:
    folder: What it left.
    seconds: What it took.
  """

  folder: pathlib.Path
  seconds: float


@pytest.fixture(scope='module')
def reference(text, environment, tmp_path_factory) -> Callable[[str, str], _Reference]:
  """Returns a function from a kind of run and a runtime to one that nothing disturbed."""

  @functools.cache
  def of(kind: str, runtime: str) -> _Reference:
    folder, started = tmp_path_factory.mktemp('reference') / kind, time.monotonic()
    process = runs.finish(_command(text, folder, kind, runtime), environment)
    assert process.returncode == 0, process.stderr
    return _Reference(folder, time.monotonic() - started)

  return of


def _command(text: pathlib.Path, output_dir: pathlib.Path, kind: str, runtime: str) -> list[str]:
  return runs.command(text, output_dir, rounds=_ROUNDS, rounds_per_checkpoint=1, runtime=runtime, **_KINDS[kind])


def _assert_same(output_dir: pathlib.Path, reference: pathlib.Path) -> None:
  assert runs.repeatable(output_dir) == runs.repeatable(reference)
  assert runs.weights(output_dir) == runs.weights(reference)
  heldout_file.check(output_dir, examples=False)
  unfinished = [path.name for path in output_dir.rglob('*') if path.name.endswith('.part')]
  assert not unfinished


@pytest.mark.parametrize('kind', ['adaptive', 'frozen', 'hidden', 'private'])
@pytest.mark.parametrize('runtime', runs.RUNTIMES)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(kind, runtime, reference, text, environment, tmp_path):
  output_dir = tmp_path / 'killed'
  command = _command(text, output_dir, kind, runtime)
  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 1, process), process.stderr.read()
    process.send_signal(signal.SIGKILL)
  assert runs.num_rounds(output_dir) < _ROUNDS
  resumed = runs.finish(command, environment)
  assert resumed.returncode == 0, resumed.stderr
  _assert_same(output_dir, reference(kind, runtime).folder)


@pytest.mark.skipif(not _STRESS, reason='two hundred kills take about an hour')
@pytest.mark.parametrize('runtime', runs.RUNTIMES)
@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('series', range(10))
def test_killed_again_and_again(kind, series, runtime, reference, text, environment, tmp_path):
  draw, undisturbed = random.Random(f'{kind} {series}'), reference(kind, runtime)
  num_kills = 0
  while num_kills < 10:
    output_dir = tmp_path / f'after {num_kills} kills'
    command = _command(text, output_dir, kind, runtime)
    num_kills += _kill_until_done(command, environment, draw, 10 - num_kills, undisturbed.seconds)
    resumed = runs.finish(command, environment)
    assert resumed.returncode == 0, resumed.stderr
    _assert_same(output_dir, undisturbed.folder)


def _kill_until_done(
  command: list[str], environment: dict[str, str], draw: random.Random, max_kills: int, seconds: float
) -> int:
  """Starts a run and kills it at a random instant of so many seconds until it ends by itself; returns the number of kills."""
  for num_kills in range(max_kills):
    with runs.running(command, environment) as process:
      instant = time.monotonic() + draw.uniform(0, seconds)
      if not runs.wait_for(lambda: time.monotonic() > instant, process):
        assert process.poll() == 0, process.stderr.read()
        return num_kills
      process.send_signal(signal.SIGKILL)
  return max_kills
