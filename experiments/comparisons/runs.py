"""Runs, finished or not, gathered into groups that differ in more than the seed, and what can be said of a group."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import json
import math
import pathlib
import statistics
from typing import Any
from typing import NamedTuple

from experiments.command import failures
from experiments.command import flag_table
from experiments.comparisons import labels
from experiments.comparisons import pareto
from experiments.comparisons import script_runs
from experiments.results import quality as quality_lib
from experiments.results import run_files
from experiments.results import same_content

DATA, START = 'data set', 'pretrained weights'  # What stands beside the flags: hashes.
# Told only where nothing else tells two groups apart.
_BESIDE = (DATA, START, flag_table.PLUGIN, 'rounds_per_eval', 'base')
_SCRIPT = 'run of a script'
# Not what is compared: names of one run, and what does not change a measurement.
_MAY_DIFFER = {'seed', 'output_dir', 'rounds_per_checkpoint', 'runtime', 'log_to', 'deterministic'}


class Point(NamedTuple):
  """An evaluation of a run: its quality, and what had been sent by then by all clients; `client_rounds` counts updates."""

  round: int
  quality: float
  accuracy: float
  upload_bytes: int
  download_bytes: int
  client_rounds: int


class Run(NamedTuple):
  """A run as far as it got: `config.json`, its evaluations, of which there is at least one, and what they measured.

  `diverged_round` is that of `quality.diverged_round`; `rows` are those of `metrics.csv`.
  """

  folder: pathlib.Path
  config: Mapping[str, Any]
  points: Sequence[Point]
  finished: bool
  quality: quality_lib.Quality
  diverged_round: int | None = None
  rows: Sequence[Mapping[str, Any]] = ()

  @property
  def diverged(self) -> bool:
    """Whether what the run came to is not finite."""
    return self.diverged_round is not None or not math.isfinite(self.last.quality)

  @property
  def settings(self) -> Mapping[str, Any]:
    """Every flag by name."""
    return self.config['settings']

  @property
  def last(self) -> Point:
    """The last evaluation."""
    return self.points[-1]

  @property
  def epsilon(self) -> float:
    """What its rounds came to; infinite if nothing made them private."""
    spent = self.rows[-1].get('epsilon') if self.rows else None
    return math.inf if spent is None else float(spent)


class Spread(NamedTuple):
  """A measurement over seeds; `deviation` (sample standard deviation) is None where it does not exist."""

  mean: float
  deviation: float | None
  low: float
  high: float


class Group(NamedTuple):
  """Runs that differ in the seed only, by seed; `label` and `name` say what tells them from other groups: exactly, and in words."""

  label: str
  runs: Sequence[Run]
  name: str = ''

  @property
  def quality(self) -> quality_lib.Quality:
    """What the runs are judged by."""
    return self.runs[0].quality

  @property
  def clients_per_round(self) -> float:
    """How many clients took part in a round, in the mean; 0 without rounds."""
    return self.spread(lambda point: point.client_rounds / max(point.round, 1)).mean

  @property
  def judges(self) -> str:
    """What the clients are called that judge the runs."""
    return quality_lib.JUDGES.get(self.runs[0].settings.get('eval_split', 'heldout'), 'clients')

  @property
  def finished(self) -> bool:
    """Whether all runs did all their rounds."""
    return all(run.finished for run in self.runs)

  @property
  def epsilon(self) -> float:
    """What the rounds of a run came to at most; infinite if one was not private."""
    return max(run.epsilon for run in self.runs)

  @property
  def num_diverged(self) -> int:
    """How many of the runs diverged."""
    return sum(run.diverged for run in self.runs)

  def spread(self, measure: Callable[[Point], float]) -> Spread:
    """Returns a measurement of the last evaluations over seeds."""
    return spread([measure(run.last) for run in self.runs])

  def curve(self, measure: Callable[[Point], float]) -> list[Spread]:
    """Returns a measurement over seeds at each round that all runs have evaluated, in order."""
    by_round = [{point.round: measure(point) for point in run.points} for run in self.runs]
    common = sorted(set.intersection(*(set(points) for points in by_round)))
    return [spread([points[number] for points in by_round]) for number in common]


def spread(values: Sequence[float]) -> Spread:
  """Returns mean, deviation, minimum and maximum of at least one number, of which some may be infinite or NaN."""
  exists = len(values) > 1 and all(map(math.isfinite, values))
  deviation = statistics.stdev(values) if exists else None
  # Rounded once, so that the mean of equal numbers is that number: a sum of floats may end beside them.
  return Spread(float(statistics.mean(values)), deviation, min(values), max(values))


class DamagedRunError(failures.UsageError):
  """Files that are not those of a run; `reason` says which, and what is wrong with them."""

  def __init__(self, folder: pathlib.Path, reason: object):
    """Names the folder."""
    super().__init__(f'{reason}: leave {folder} out of --runs')
    self.reason = ' '.join(str(reason).split())


def read(folder: pathlib.Path) -> Run | None:
  """Reads a run; None if it has not been evaluated since it began to train, which after stages is done at their end.

  Raises:
    DamagedRunError: If its files are not those of a run.
  """
  try:
    config, summary = run_files.read_config(folder), run_files.read_summary(folder) or {}
  except ValueError as error:
    raise DamagedRunError(folder, error) from error
  settings = config['settings']
  if 'seed' not in settings:
    raise DamagedRunError(folder, f'{folder / "config.json"} is not the config of a run')
  try:
    rows = run_files.read_rows(folder, summary)
    evaluated = quality_lib.evaluated(rows)
    quality = quality_lib.of(evaluated[-1]) if evaluated else quality_lib.PERPLEXITY
    points = _points(rows, quality)
  except (KeyError, ValueError, TypeError, OSError) as error:
    raise DamagedRunError(folder, f'{folder / "metrics.csv"} holds no metrics of a run') from error
  # One with a budget ends where that does, and writes its summary then.
  planned = rows[-1]['round'] if settings.get('epsilon_budget') and rows else settings.get('rounds')
  finished = 'rounds' in summary and summary['rounds'] == planned
  if finished and not evaluated:
    raise DamagedRunError(folder, f'{folder / "metrics.csv"} holds no evaluation, and the run is finished')
  if not points or (not finished and (points[-1].round == 0 or 'stage' in rows[0])):
    return None
  return Run(folder, config, points, finished, quality, quality_lib.diverged_round(rows), rows)


def _points(rows: Sequence[Mapping[str, Any]], quality: quality_lib.Quality) -> list[Point]:
  points, client_rounds = [], 0
  for row in rows:
    client_rounds += row['num_clients'] or 0  # Not measured in round 0, where nobody trains.
    if row.get(quality.column) is not None:
      sent = (int(row[f'{direction}_bytes_total']) for direction in ('upload', 'download'))
      points.append(Point(row['round'], float(row[quality.column]), float(row['eval/accuracy']), *sent, client_rounds))
  return points


def _short(dataset_hash: Any) -> str:
  return str(dataset_hash)[:8]


def groups(runs: Sequence[Run]) -> list[Group]:
  """Gathers runs that differ in the seed only; most megabytes uploaded first.

  Args:
    runs: At least one.

  Raises:
    UsageError: If two runs have the same settings and the same seed, or are not judged by the same measure.
  """
  judged = sorted({run.quality.name for run in runs})
  if len(judged) > 1:
    raise failures.UsageError(f'some runs are judged by {judged[0]} and some by {judged[1]}: compare them apart')
  gathered: dict[str, list[Run]] = {}
  for run in runs:
    gathered.setdefault(json.dumps(identity(run), sort_keys=True), []).append(run)
  members = [sorted(found, key=lambda run: run.settings['seed']) for found in gathered.values()]
  for found in members:
    for one, other in itertools.pairwise(found):
      if one.settings['seed'] == other.settings['seed']:
        raise failures.UsageError(f'{one.folder} and {other.folder} have the same settings and seed: name one of them')
  names = _names([found[0] for found in members])
  unsorted = [Group(exact, found, plain) for (exact, plain), found in zip(names, members, strict=True)]
  return sorted(unsorted, key=lambda group: -group.spread(lambda point: point.upload_bytes).mean)


def compared(run: Run) -> dict[str, Any]:
  """Returns what tells groups apart; a flag that an older version of the suite did not have counts as None."""
  kept = {name: value for name, value in run.settings.items() if name not in _MAY_DIFFER | unused(run)}
  hashes = {DATA: _short(run.config.get('dataset_hash')), START: _short(run.config.get('pretrained_sha256'))}
  script = {_SCRIPT: script_runs.name(run.config, run.folder)} if script_runs.is_one(run.config) else {}
  return hashes | script | {n: v for n, v in kept.items() if v is not None}


def unused(run: Run) -> set[str]:
  """Returns the flags that changed nothing: how the base travels, where everything is trained."""
  return {'base'} if run.settings.get('trainable') == 'all' else set()


def identity(run: Run) -> dict[str, Any]:
  """Returns what makes runs a group, by the names of `compared`: that, but for where equal data and weights lie."""
  return {name: same_content.identity(name, value, run.config) for name, value in compared(run).items()}


def _names(firsts: Sequence[Run]) -> list[tuple[str, str]]:
  """Returns what a run of each group tells it from other groups by: exactly, and in words."""
  of_binaries = [run for run in firsts if not script_runs.is_one(run.config)]
  settings = _told_apart(of_binaries) if of_binaries else []
  found = iter(zip(labels.exact(settings), labels.plain(settings), strict=True)) if settings else iter(())
  return [
    (script_runs.name(run.config, run.folder),) * 2 if script_runs.is_one(run.config) else next(found) for run in firsts
  ]


def _told_apart(firsts: Sequence[Run]) -> list[dict[str, Any]]:
  """Returns the settings of a run of each group; what stands beside only where nothing else tells them apart."""
  identities = [identity(run) for run in firsts]
  alike = {
    name for name, value in identities[0].items() if all(name in one and one[name] == value for one in identities)
  }
  settings = [
    {name: identities[0][name] if name in alike else value for name, value in compared(run).items()} for run in firsts
  ]
  flags = [{name: value for name, value in one.items() if name not in _BESIDE} for one in settings]
  return flags if len({json.dumps(one, sort_keys=True) for one in flags}) == len(flags) else settings


def reference(found: Sequence[Group]) -> int:
  """Returns the index of what others are compared with: the first group that is finished and finite, or else the first."""
  return next((index for index, group in enumerate(found) if group.finished and not group.num_diverged), 0)


def pareto_front(found: Sequence[Group]) -> set[int]:
  """Returns the indices of the groups that no other beats: less uploaded at no worse mean quality, or the reverse.

  One of which a run diverged is not among them, and beats none.
  """
  sign = -1 if found[0].quality.higher_is_better else 1
  finite = [index for index, group in enumerate(found) if not group.num_diverged]
  means = [(found[index].spread(upload_bytes).mean, sign * found[index].spread(quality).mean) for index in finite]
  return {finite[place] for place in pareto.front(means)}


def quality(point: Point) -> float:
  """Returns what the run is judged by."""
  return point.quality


def upload_bytes(point: Point) -> float:
  """Returns what all clients had uploaded."""
  return point.upload_bytes


def download_bytes(point: Point) -> float:
  """Returns what all clients had downloaded."""
  return point.download_bytes
