"""What a comparison rests on, one observation a row and in full precision: for other programs to read and draw."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import statistics
from typing import Any
from typing import NamedTuple

from experiments.comparisons import runs
from experiments.results import columns as columns_lib
from experiments.results import quality

_HASHES = {runs.DATA: 'dataset_hash', runs.START: 'pretrained_sha256'}  # Columns of what stands beside the flags.
_MEASURES = (quality.PERPLEXITY, quality.ACCURACY, quality.LOSS, quality.PROBE)
RUNS = columns_lib.names(columns_lib.COMPARED_RUNS)
CODECS = columns_lib.names(columns_lib.COMPARED_CODECS)
POLICIES = columns_lib.names(columns_lib.COMPARED_POLICIES)
_NUM_FIRST, _NUM_LAST = 4, 2  # Columns of every kind, by which it is known; flags that vary come after the first.
OF_UPDATE, OF_RUN = 'update', 'run'  # What a row observed: one round of a client, or a whole run.


class Observations(NamedTuple):
  """A table; a row lacks what does not apply to it."""

  columns: Sequence[str]
  rows: Sequence[Mapping[str, Any]]


def is_header(names: Sequence[str]) -> bool:
  """Whether these are the columns of such a table."""
  first, last = tuple(names[:_NUM_FIRST]), tuple(names[-_NUM_LAST:])
  return any(first == kind[:_NUM_FIRST] and last == kind[-_NUM_LAST:] for kind in (RUNS, CODECS, POLICIES))


def of_runs(groups: Sequence[runs.Group]) -> Observations:
  """Returns every evaluation of every run."""
  varied = _varied(groups)
  varied = {name: f'flag_{column}' if column in RUNS else column for name, column in varied.items()}
  rows = [_of_run(group, run, varied) | each for group in groups for run in group.runs for each in _evaluations(run)]
  return Observations(_columns(RUNS, varied), rows)


def of_updates(
  kind: Sequence[str], measured: Sequence[Mapping[str, Any]], groups: Sequence[runs.Group]
) -> Observations:
  """Returns what was measured of the rounds of clients, then the end of every run.

  Args:
    kind: `CODECS` or `POLICIES`.
    measured: Rows of such a table.
    groups: The runs.
  """
  varied = {name: column for name, column in _varied(groups).items() if column not in kind}
  ends = [
    {'observed': OF_RUN} | _settings(run, kind) | _of_run(group, run, varied) | list(_evaluations(run))[-1]
    for group in groups
    for run in group.runs
  ]
  return Observations(_columns(kind, varied), [*({'observed': OF_UPDATE} | row for row in measured), *ends])


def _columns(kind: Sequence[str], varied: Mapping[str, str]) -> list[str]:
  return [*kind[:_NUM_FIRST], *varied.values(), *kind[_NUM_FIRST:]]


def _varied(groups: Sequence[runs.Group]) -> dict[str, str]:
  """Returns what tells runs apart, and what its column is called."""
  identities = [runs.identity(run) for group in groups for run in group.runs]
  names = dict.fromkeys(name for one in identities for name in one)
  varied = [name for name in names if any(one.get(name) != identities[0].get(name) for one in identities)]
  return {name: _HASHES.get(name, name) for name in varied}


def _of_run(group: runs.Group, run: runs.Run, varied: Mapping[str, str]) -> dict[str, Any]:
  values = dict(run.settings) | {name: run.config.get(fact) for name, fact in _HASHES.items()}
  trained = [row['trained_fraction'] for row in run.rows if row['round'] and row.get('trained_fraction') is not None]
  return {
    'setting': group.label,
    'name': group.name,
    'folder': run.folder,
    'seed': run.settings['seed'],
    **{column: values.get(name) for name, column in varied.items()},
    'trained_fraction': statistics.mean(trained) if trained else None,
    'diverged': run.diverged,
    'finished': run.finished,
  }


def _settings(run: runs.Run, kind: Sequence[str]) -> dict[str, Any]:
  return {name: run.settings[name] for name in kind if name in run.settings}


def _evaluations(run: runs.Run) -> Iterator[dict[str, Any]]:
  """Yields the evaluations of a run, with what had been sent by then."""
  client_rounds = 0
  for row in run.rows:
    client_rounds += row['num_clients'] or 0
    if any(row.get(measure.column) is not None for measure in _MEASURES):
      yield {
        'round': row['round'],
        **{measure.name.replace(' ', '_'): row.get(measure.column) for measure in _MEASURES},
        'client_rounds': client_rounds,
        'upload_bytes_total': row['upload_bytes_total'],
        'download_bytes_total': row['download_bytes_total'],
        'epsilon': row.get('epsilon'),
      }
