"""Finished runs below a folder, grouped by what they are compared by; seeds are what a group has several of."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib
from typing import Any
from typing import NamedTuple

from experiments.command import launch
from experiments.results import metrics
from experiments.results import quality
from experiments.results import same_content

# Not what is compared: names of one run, and what does not change a measurement.
MAY_DIFFER = ('seed', 'output_dir', 'rounds_per_checkpoint', 'runtime', 'deterministic')
_TUNED = 'algorithm'  # Each combination may have rates of its own, the same ones for all seeds.


class FinishedRun(NamedTuple):
  """What a finished run left: its flags by name, `summary.json`, and the rows of `metrics.csv` from round 1 on."""

  settings: Mapping[str, Any]
  summary: Mapping[str, Any]
  rows: Sequence[Mapping[str, Any]]


def read(folder: pathlib.Path, by: Sequence[str]) -> dict[tuple[str, ...], list[FinishedRun]]:
  """Reads the runs.

  Args:
    folder: Holds the `output_dir`s of the runs; those that are not finished are left out.
    by: The flags by which they are compared.

  Returns:
    For each combination of values of `by`, its runs by seed.

  Raises:
    UsageError: If there is no finished run, runs differ in other flags than these, the seed and the rates of a
      combination, or a run has no perplexity to compare, or none that is finite.
  """
  groups: dict[tuple[str, ...], list[FinishedRun]] = {}
  common: dict[str, Any] | None = None
  for path in sorted(folder.glob('*/summary.json')):
    config = json.loads((path.parent / 'config.json').read_text())
    settings = config['settings']
    summary = json.loads(path.read_text())
    if summary.get('rounds', settings.get('rounds')) != settings.get('rounds'):
      continue  # It was finished once, and goes on for more rounds.
    rest = {
      name: same_content.identity(name, value, config)
      for name, value in settings.items()
      if name not in (*by, *MAY_DIFFER, _TUNED)
    }
    if common is not None and rest != common:
      differing = sorted(name for name in rest if rest[name] != common.get(name))
      raise launch.UsageError(f'{path.parent} differs from the other runs in {", ".join(differing)}: compare it apart')
    common = rest
    if summary.get('diverged_round') is not None:
      raise launch.UsageError(
        f'{path.parent} diverged, since round {summary["diverged_round"]}: compare it by --what=runs'
      )
    judged = quality.of(summary)
    if judged is not quality.PERPLEXITY:
      raise launch.UsageError(f'{path.parent} is judged by {judged.name}, not perplexity: compare it by --what=runs')
    run = FinishedRun(settings, summary, metrics.read(path.parent / 'metrics.csv')[1:])
    alike = groups.setdefault(tuple(settings[name] for name in by), [])
    if alike and alike[0].settings.get(_TUNED) != settings.get(_TUNED):
      raise launch.UsageError(f'{path.parent} differs in {_TUNED} from another seed of its setting: compare it apart')
    alike.append(run)
  if not groups:
    raise launch.UsageError(f'{folder} holds no finished run: name the folder above their --output_dir')
  return {key: sorted(runs, key=lambda run: run.settings['seed']) for key, runs in groups.items()}
