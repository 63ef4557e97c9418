"""Who judges runs: qualities compare where the same clients judge, by the same examples."""

from collections.abc import Sequence

from experiments.command import failures
from experiments.comparisons import runs
from experiments.results import quality as quality_lib

_JUDGES = 'evaluation_hash'  # In `config.json`; runs of older versions have none.


def check_same_data(found: Sequence[runs.Run]) -> None:
  """Raises `UsageError` if runs were not evaluated on the same examples of the same clients: their quality does not compare."""
  for run in found:
    if not evaluated_alike(found[0], run):
      judges = ' and '.join(map(_judges, (found[0], run)))
      raise failures.UsageError(
        f'{found[0].folder} and {run.folder} are judged by different clients ({judges}), so their quality does not '
        'compare: name runs of one data set with equal --eval_split and --eval_clients, or add --allow_different_data'
      )


def evaluated_alike(one: runs.Run, other: runs.Run) -> bool:
  """Whether two runs are judged by the same examples of the same clients, however the others are spread over clients."""
  if one.config.get(_JUDGES) is not None and other.config.get(_JUDGES) is not None:
    return one.config[_JUDGES] == other.config[_JUDGES]
  same_number = one.settings.get('eval_clients') == other.settings.get('eval_clients')
  return same_number and any(
    one.config.get(name) is not None and one.config.get(name) == other.config.get(name)
    for name in ('heldout_hash', 'dataset_hash')
  )


def _judges(run: runs.Run) -> str:
  number, split = run.settings.get('eval_clients') or 'all', run.settings.get('eval_split', 'heldout')
  return f'{number} {quality_lib.JUDGES.get(split, split)} of data set {str(run.config.get("dataset_hash"))[:8]}'
