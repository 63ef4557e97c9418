"""Runs of `run.run` in a script, whose settings say what its `run.Config` says, and no flags of a binary."""

from collections.abc import Mapping
import pathlib
from typing import Any

_OF_CONFIG = ('clients_per_round', 'rounds_per_eval', 'eval_clients', 'seed', 'draw_seed', 'rounds', 'output_dir')


def is_one(config: Mapping[str, Any]) -> bool:
  """Whether a `config.json` is that of such a run."""
  return 'algorithm' not in config['settings'] and config.get('binary', '') is None


def name(config: Mapping[str, Any], folder: pathlib.Path) -> str:
  """Returns what a script calls its run: the values of settings of its own, without any the name of the folder."""
  own = [str(value) for flag, value in config['settings'].items() if flag not in _OF_CONFIG]
  return ', '.join(own) or folder.name
