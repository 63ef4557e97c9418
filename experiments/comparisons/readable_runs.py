"""The runs below the folders that a user names, and a sentence on each that cannot be compared."""

from collections.abc import Sequence
import pathlib
import sys
from typing import NamedTuple

from experiments.command import failures
from experiments.comparisons import runs
from experiments.results import run_folders


class Found(NamedTuple):
  """What was found.

  Attributes:
    runs: Those that have been evaluated since they began to train.
    left_out: Sentences on the others: what they lack, or what is damaged.
  """

  runs: Sequence[runs.Run]
  left_out: Sequence[str]


def find(patterns: Sequence[str]) -> Found:
  """Reads the runs of `run_folders.find`.

  Raises:
    UsageError: If there is none, or the only one is damaged.
  """
  folders = run_folders.find(patterns)
  found, left_out = [], [f'{path} has no config.json: left out' for path in run_folders.without_config(patterns)]
  for folder in folders:
    try:
      run = runs.read(folder)
    except runs.DamagedRunError as error:
      if len(folders) == 1:
        raise
      left_out.append(f'{error.reason}: left out')
      continue
    if run:
      found.append(run)
    else:
      left_out.append(f'{folder} has not been evaluated since it began to train: left out')
  if not found:
    raise failures.UsageError(_nothing(folders[0], left_out))
  return Found(found, left_out)


def _nothing(first: pathlib.Path, left_out: Sequence[str]) -> str:
  if all('has not been evaluated' in sentence for sentence in left_out):
    return f'{first} has no evaluation yet, nor has any other run: wait for one'
  return f'no run can be compared, for example since {left_out[0].removesuffix(": left out")}: name others by --runs'


def say(left_out: Sequence[str]) -> None:
  """Prints sentences to standard error."""
  for sentence in left_out:
    print(sentence, file=sys.stderr, flush=True)
