"""Runs compare only if the same examples of the same clients judge them."""

import json

import pytest

from experiments.command import failures
from experiments.comparisons import judges
from experiments.comparisons import runs as run_comparison
from tests.experiments.comparisons.test_run_comparison import write_run


def test_runs_compare_if_their_heldout_examples_are_the_same(tmp_path):
  one, other, third = (
    run_comparison.read(write_run(tmp_path / name, hashes=hashes))
    for name, hashes in (('a', ('a', 'x')), ('b', ('b', 'x')), ('c', ('a', 'y')))
  )
  judges.check_same_data([one, other])
  with pytest.raises(failures.UsageError, match='judged by different clients'):
    judges.check_same_data([other, third])


@pytest.mark.parametrize(
  ('changes', 'alike'),
  [
    ({}, True),
    ({'rounds': 9}, True),
    ({'eval_clients': 5}, False),
    ({'eval_split': 'validation', 'evaluation_hash': 'v'}, False),
    ({'evaluation_hash': 'other'}, False),
    ({'evaluation_hash': None}, True),
  ],
)
def test_runs_compare_if_the_same_clients_judge_them(tmp_path, changes, alike):
  runs = []
  for name, changed in (('a', {}), ('b', changes)):
    evaluation_hash = changed.get('evaluation_hash', 'h' if changed.get('eval_clients', 3) == 3 else 'i')
    settings = {'eval_clients': 3} | {key: value for key, value in changed.items() if key != 'evaluation_hash'}
    folder = write_run(tmp_path / name, **settings)
    config = json.loads((folder / 'config.json').read_text()) | {'evaluation_hash': evaluation_hash}
    (folder / 'config.json').write_text(json.dumps(config))
    runs.append(run_comparison.read(folder))
  assert judges.evaluated_alike(*runs) == alike
  if not alike:
    with pytest.raises(failures.UsageError, match=r'are judged by different clients \(3 held-out clients of data set'):
      judges.check_same_data(runs)
