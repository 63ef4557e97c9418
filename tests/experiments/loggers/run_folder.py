"""The files that a run leaves and a logger reads, written by hand."""

import json
import pathlib

SETTINGS = {'rounds': 2, 'dataset': "text(path='my text')", 'pretrained': None}
ROWS = (
  {'round': 0, 'train/loss': None, 'eval/loss': 3.5},
  {'round': 1, 'train/loss': 3.25, 'eval/loss': None},
  {'round': 2, 'train/loss': 3.0, 'eval/loss': 2.5},
)


def begin(folder: pathlib.Path, rows: int = 0, **facts) -> pathlib.Path:
  """Makes a folder with the config of a run, and its first rows."""
  folder.mkdir(parents=True)
  (folder / 'config.json').write_text(json.dumps({'settings': SETTINGS, 'dataset_hash': 'abc', **facts}))
  write(folder, rows)
  return folder


def write(folder: pathlib.Path, rows: int) -> None:
  """Writes the first rows."""
  lines = ['round,train/loss,eval/loss\n', '0,,3.5\n', '1,3.25,\n', '2,3.0,2.5\n']
  (folder / 'metrics.csv').write_text(''.join(lines[: rows + 1]))


def end(folder: pathlib.Path) -> None:
  """Writes the summary."""
  summary = {
    'rounds': 2,
    'eval/loss': 2.5,
    'diverged_round': None,
    'peak_rss_bytes': {'main': 7},
    'dataset_hash': 'abc',
  }
  (folder / 'summary.json').write_text(json.dumps(summary))
