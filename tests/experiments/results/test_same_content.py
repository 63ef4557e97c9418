"""Runs on equal data and weights are one setting of a comparison, wherever these lie."""

import json
import pathlib

import pytest

from experiments.comparisons import runs
from tests.experiments.comparisons.test_run_comparison import write_run


def _grouped(*folders: pathlib.Path) -> list[runs.Group]:
  return runs.groups([runs.read(folder) for folder in folders])


_FIRST = 'text(path="a", vocabulary=60)'


def _rewrite(folder, **facts):
  config = json.loads((folder / 'config.json').read_text())
  (folder / 'config.json').write_text(json.dumps(config | facts))
  return folder


@pytest.mark.parametrize(
  ('one', 'other', 'facts', 'groups'),
  [
    ({'dataset': _FIRST}, {'dataset': 'text(vocabulary=60, path="b")'}, {}, 1),
    ({'dataset': _FIRST}, {'dataset': 'text(path="b", vocabulary=61)'}, {}, 2),
    ({'dataset': _FIRST}, {'dataset': 'text(path="b", vocabulary=60)'}, {'dataset_hash': None}, 2),
    ({'dataset': '/not/a/spec'}, {'dataset': '/nor/this'}, {}, 2),
    ({'pretrained': 'a'}, {'pretrained': 'b'}, {'pretrained_sha256': 'c0de'}, 1),
    ({'pretrained': 'a'}, {'pretrained': None}, {'pretrained_sha256': 'c0de'}, 2),
    ({'pretrained': 'a'}, {'pretrained': 'b'}, {}, 2),
    ({'upload': 'a(path="x")'}, {'upload': 'a(path="y")'}, {}, 2),
  ],
)
def test_equal_data_and_weights_are_one_setting_wherever_they_lie(one, other, facts, groups, tmp_path):
  folders = [
    _rewrite(write_run(tmp_path / str(seed), seed=seed, **settings), **facts)
    for seed, settings in enumerate((one, other))
  ]
  assert len(_grouped(*folders)) == groups


def test_other_data_at_another_path_are_another_setting(tmp_path):
  first = write_run(tmp_path / 'a', dataset=_FIRST)
  second = write_run(tmp_path / 'b', dataset='text(path="b", vocabulary=60)', hashes=('other', None), seed=1)
  assert [group.label for group in _grouped(first, second)] == [_FIRST, 'text(path="b", vocabulary=60)']


def test_labels_do_not_name_where_equal_data_lie(tmp_path):
  first = write_run(tmp_path / 'a', dataset=_FIRST)
  second = write_run(tmp_path / 'b', dataset='text(path="b", vocabulary=60)', upload='sign')
  assert [group.label for group in _grouped(first, second)] == ['identity', 'sign']
