"""The folders that runs and comparisons leave, to be read in a script and looked at in a notebook."""

import base64
from collections.abc import Mapping
from collections.abc import Sequence
import html
import os
import pathlib
import re
from typing import Any

from experiments.command import failures
from experiments.command import given_objects
from experiments.results import markdown_table
from experiments.results import run_files

_BYTES = 'bytes'


class ResultFolder(os.PathLike):
  """A folder with tables and pictures.

  Attributes:
    folder: Where it is; the object itself stands for its path.
  """

  def __init__(self, folder: str | os.PathLike):
    self.folder = pathlib.Path(folder)

  def __fspath__(self) -> str:
    return os.fspath(self.folder)

  def __repr__(self) -> str:
    return f'{type(self).__name__}({str(self.folder)!r})'

  @property
  def pictures(self) -> list[pathlib.Path]:
    """The PNG files in the folder, by name."""
    return sorted(self.folder.glob('*.png'))

  @property
  def tables(self) -> list[str]:
    """Tables and sentences, in Markdown."""
    return [path.read_text() for path in sorted(self.folder.glob('*.md'))]

  def _repr_html_(self) -> str:
    """Returns what a notebook shows: the tables and the pictures."""
    return '\n'.join([*map(_html_of, self.tables), *map(_image, self.pictures)])


class ComparisonFolder(ResultFolder):
  """What `compare` or `client_cost` left."""


class RunFolder(ResultFolder):
  """What a training has left so far; it may be under way in another process.

  Attributes:
    objects: What a script gave in the place of specs, by the name of the flag.
  """

  def __init__(self, folder: str | os.PathLike, **objects: Any):
    """Takes the folder, and again the objects that a run of a script was given, so that its model can be built."""
    super().__init__(folder)
    self.objects: Mapping[str, Any] = objects

  def check_object(self, flag: str) -> None:
    """Raises `UsageError` if the run, of which there may be nothing left but the model, had no object for a flag."""
    if not (self.folder / run_files.CONFIG).exists():
      return
    had = [name for name, value in self.settings.items() if given_objects.is_recorded(value)]
    if flag not in had:
      raise failures.UsageError(
        f'RunFolder({str(self.folder)!r}, {flag}=...): the run had no object for {flag}; it had {", ".join(had) or "none"}'
      )

  @property
  def settings(self) -> dict[str, Any]:
    """Every flag by name; raises `ValueError` if the folder holds no run."""
    return run_files.read_config(self.folder)['settings']

  @property
  def summary(self) -> dict[str, Any]:
    """What `summary.json` says; empty until the run has ended; raises `ValueError` if there is no folder."""
    self._check_there()
    return run_files.read_summary(self.folder) or {}

  @property
  def rows(self) -> list[Mapping[str, Any]]:
    """The rows of `metrics.csv`, a dictionary of numbers each, with None for what was not measured; likewise."""
    return list(run_files.read_rows(self.folder, self.summary))

  def _check_there(self) -> None:
    if not self.folder.is_dir():
      raise ValueError(f'there is no folder {self.folder}')

  @property
  def tables(self) -> list[str]:
    """The summary as a table, and what else there is."""
    lines = [[name, _told(name, value)] for name, value in self.summary.items() if not isinstance(value, Mapping)]
    return [markdown_table.render(['', str(self.folder)], lines), *super().tables]


def _told(name: str, value: Any) -> str:
  if value is None:
    return ''
  if _BYTES in name:
    return f'{value / 1e6:,.3g} MB' if value < 1e8 else f'{value / 1e6:,.0f} MB'
  if isinstance(value, float):
    return f'{value:,.4g}'
  return f'{value:,}' if isinstance(value, int) else str(value)


def _html_of(markdown: str) -> str:
  """Returns tables as HTML, and sentences as paragraphs."""
  parts, rows = [], []
  for line in [*markdown.splitlines(), '']:
    if line.startswith('|'):
      rows.append([cell.strip().replace('\\|', '|') for cell in re.split(r'(?<!\\)\|', line)[1:-1]])
      continue
    if rows:
      parts.append(_table(rows))
      rows = []
    if line:
      parts.append(f'<p>{_marked(line)}</p>')
  return '\n'.join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
  header, _, *body = rows
  lines = [''.join(f'<th>{_marked(cell)}</th>' for cell in header)]
  lines += [''.join(f'<td>{_marked(cell)}</td>' for cell in row) for row in body]
  return '<table>' + ''.join(f'<tr>{line}</tr>' for line in lines) + '</table>'


def _marked(text: str) -> str:
  """Returns a line of Markdown as HTML: code and nothing else is marked up."""
  return re.sub(r'`([^`]*)`', r'<code>\1</code>', html.escape(text.replace('**', '')))


def _image(path: pathlib.Path) -> str:
  data = base64.b64encode(path.read_bytes()).decode()
  return f'<p>{html.escape(path.stem)}</p><img alt="{html.escape(path.stem)}" style="max-width: 100%" src="data:image/png;base64,{data}">'
