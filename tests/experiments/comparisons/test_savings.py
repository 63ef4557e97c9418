"""The last lines of a comparison: the least upload that loses nothing, never one that is worse, unfinished or diverged."""

import math

import pytest

from experiments.comparisons import runs as run_comparison
from experiments.comparisons import savings
from tests.experiments.comparisons import test_run_comparison


def _table(tmp_path, *others):
  settings = [('identity', 8.0, 100.0, {}), *others]
  folders = [
    test_run_comparison.write_run(tmp_path / upload, ((0, 400.0), (4, quality)), megabytes, upload=upload, **options)
    for upload, megabytes, quality, options in settings
  ]
  return savings.table(run_comparison.groups([run_comparison.read(folder) for folder in folders]))


def test_names_the_least_upload_that_is_as_good(tmp_path):
  others = [('float16', 4.0, 100.0, {}), ('sign', 0.25, 101.0, {}), ('drive', 2.0, 99.5, {})]
  assert _table(tmp_path, *others).splitlines() == [
    '|  | DRIVE | 32 bits |',
    '|---|---|---|',
    '| perplexity on held-out clients | 99.5 | 100.0 |',
    '| megabytes uploaded | 8.0 | 32.0 |',
    '| times fewer | 4.0 |  |',
  ]


@pytest.mark.parametrize(
  'other',
  [
    ('sign', 1.0, 100.5, {}),
    ('sign', 1.0, math.inf, {}),
    ('sign', 1.0, 90.0, {'finished': False, 'rounds': 9}),
    ('sign', 8.0, 90.0, {}),
    ('sign', 0.0, 90.0, {}),
  ],
)
def test_says_nothing_where_nothing_is_saved(tmp_path, other):
  assert _table(tmp_path, other) == ''
