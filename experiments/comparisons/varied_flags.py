"""Finished runs of language models that differ in nothing but some flags, the seed and the rates of each setting."""

from collections.abc import Sequence
import itertools

from experiments.command import failures
from experiments.command import flag_table
from experiments.comparisons import readable_runs
from experiments.comparisons import runs
from experiments.results import quality

PERPLEXITY_COLUMNS = ('perplexity, mean', 'standard deviation', 'each seed')
# Each setting may have rates of its own, and what names its codec or policy: the same for all seeds.
_OWN = ('algorithm', flag_table.PLUGIN)


def read(patterns: Sequence[str], names: Sequence[str]) -> list[runs.Group]:
  """Reads the runs of `run_folders.find`; those that are not finished, or damaged, are left out, which is said on stderr.

  Args:
    patterns: Folders of runs, or folders above them.
    names: The flags by which they are compared.

  Returns:
    A group of seeds for each combination of values of these flags, most megabytes uploaded first.

  Raises:
    UsageError: If there is no finished run, runs differ in other flags than these, the seed and the rates of a
      combination, or a run has no perplexity to compare, or none that is finite.
  """
  readable, left_out = readable_runs.find(patterns)
  found = [run for run in readable if run.finished]
  readable_runs.say([*left_out, *(f'{run.folder} is unfinished: left out' for run in readable if not run.finished)])
  if not found:
    raise failures.UsageError(f'{patterns[0]} holds no finished run: name the folder above their --output_dir')
  for run in found:
    if run.diverged:
      raise failures.UsageError(f'{run.folder} diverged, since round {run.diverged_round}: compare it by --what=runs')
    if run.quality is not quality.PERPLEXITY:
      raise failures.UsageError(
        f'{run.folder} is judged by {run.quality.name}, not perplexity: compare it by --what=runs'
      )
  groups = runs.groups(found)
  for one, other in itertools.combinations(groups, 2):
    if differing := _differing(one.runs[0], other.runs[0], names):
      folder = other.runs[0].folder
      raise failures.UsageError(f'{folder} differs from the other runs in {", ".join(differing)}: compare it apart')
  combinations = set()
  for group in groups:
    combination = tuple(group.runs[0].settings.get(name) for name in names)
    if combination in combinations:
      raise failures.UsageError(
        f'{group.runs[0].folder} differs in {" or ".join(_OWN)} from another seed of its setting: compare it apart'
      )
    combinations.add(combination)
  return groups


def _differing(one: runs.Run, other: runs.Run, names: Sequence[str]) -> list[str]:
  """Returns in what two runs differ that is neither in `names`, nor a setting's own, nor without effect in either."""
  free = {*names, *_OWN, *runs.unused(one), *runs.unused(other)}
  first, second = runs.identity(one), runs.identity(other)
  return sorted(name for name in {*first, *second} - free if first.get(name) != second.get(name))


def perplexity_cells(group: runs.Group) -> list[str]:
  """Returns the mean over seeds, the sample standard deviation, and the perplexity of each seed."""
  spread = group.spread(runs.quality)
  deviation = '' if spread.deviation is None else f'{spread.deviation:.1f}'
  return [f'{spread.mean:.1f}', deviation, ', '.join(f'{run.last.quality:.1f}' for run in group.runs)]
