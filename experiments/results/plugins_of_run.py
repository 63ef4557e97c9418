"""Whether what reads a run has the plug-ins that it was made with."""

import functools
import pathlib
import sys

from experiments.command import flag_table
from experiments.command import plugins
from experiments.results import run_files


def say_if_others(folder: pathlib.Path) -> None:
  """Says on stderr which plug-ins of this process are not the files that the run in a folder was made with.

  A model of a changed plug-in may compute something else of the same weights. A folder that does not say what it was
  made with, such as that of an export, is passed over.
  """
  try:
    recorded = run_files.read_config(folder)['settings'].get(flag_table.PLUGIN) or []
  except ValueError:
    return
  hashes = {plugins.content_hash(text) for text in recorded}
  others = [plugin.text for plugin in plugins.loaded() if plugin.sha256 not in hashes]
  missing = hashes - {plugin.sha256 for plugin in plugins.loaded()}
  if others and missing:
    _say_once(
      f'warning: {folder} was made with {", ".join(map(plugins.short, recorded))}, and this is '
      f'{", ".join(map(plugins.short, others))}: what its names build may be something else'
    )


@functools.cache
def _say_once(warning: str) -> None:
  """Prints a warning the first time in this process: one command may read a run several times."""
  print(warning, file=sys.stderr)
