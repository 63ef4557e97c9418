"""What a sweep searches is chosen on validation clients, once for all seeds, and only then judged by held-out ones."""

import json
import pathlib
import sys

import pytest

from experiments.command import failures
from experiments.results import metrics
from experiments.sweeping import sweep_file
from experiments.sweeping import sweep_runs
from experiments.sweeping import sweep_search

_SWEEP = """
[flags]
rounds = 3
[grid]
seed = [4, 5]
[search]
algorithm = ["a(lr=1)", "a(lr=2)", "a(lr=3)"]
[[runs]]
name = "plain"
[[runs]]
name = "own"
algorithm = ["b(lr=1)", "b(lr=2)"]
upload = ["x", "y"]
[[runs]]
name = "fixed"
algorithm = "c"
"""


def _read(tmp_path: pathlib.Path, text: str, overrides: tuple[str, ...] = ()) -> sweep_file.Sweep:
  (tmp_path / 'sweep.toml').write_text(text)
  return sweep_file.read(tmp_path / 'sweep.toml', overrides)


def _finish(folder: pathlib.Path, perplexity: str, rounds: int = 3) -> None:
  folder.mkdir(parents=True)
  (folder / 'config.json').write_text(json.dumps({'settings': {'rounds': 3, 'seed': 4}}))
  (folder / 'summary.json').write_text(json.dumps({'rounds': rounds}))
  rows = [
    {'round': number, 'eval/loss': 1.0, 'eval/accuracy': 0.1, 'eval/perplexity': perplexity, 'upload_bytes_total': 1}
    | {'download_bytes_total': 1, 'num_clients': 1}
    for number in range(4)
  ]
  lines = [','.join(str(row.get(name, '')) for name in metrics.COLUMNS) for row in rows]
  (folder / 'metrics.csv').write_text('\n'.join([','.join(metrics.COLUMNS), *lines]) + '\n')


def _made(folder: pathlib.Path, *searches: sweep_search.Search, script: str = '', **settings) -> sweep_runs.Runs:
  """Makes the runs of searches by a script, but for those that `_finish` finished with the same settings."""
  command = [sys.executable, '-c', script]
  names = [candidate.cell.name for search in searches for candidate in search.candidates]
  runs = sweep_runs.Runs([sweep_runs.Job(name, command, {'rounds': 3, 'seed': 4} | settings) for name in names], folder)
  runs.make(2)
  return runs


def test_seeds_share_a_search_of_every_combination_on_validation_clients(tmp_path: pathlib.Path):
  sweep = _read(tmp_path, _SWEEP)
  plain, own = sweep_search.searches(sweep.cells)
  assert plain.names == ['plain-seed=4', 'plain-seed=5'] and own.names == ['own-seed=4', 'own-seed=5']
  assert [candidate.values for candidate in plain.candidates] == [
    {'algorithm': 'a(lr=1)'}, {'algorithm': 'a(lr=2)'}, {'algorithm': 'a(lr=3)'},
  ]  # fmt: skip
  assert [tuple(candidate.values.values()) for candidate in own.candidates] == [
    ('b(lr=1)', 'x'), ('b(lr=1)', 'y'), ('b(lr=2)', 'x'), ('b(lr=2)', 'y'),
  ]  # fmt: skip
  first = plain.candidates[0].cell
  assert first.name == 'plain-seed=4-algorithm=a-lr=1'
  assert first.flags == {'rounds': '3', 'seed': '4', 'algorithm': 'a(lr=1)', 'eval_split': 'validation'}
  (fixed, _) = [cell for cell in sweep.cells if not cell.candidates]
  assert fixed.flags == {'rounds': '3', 'seed': '4', 'algorithm': 'c'}


def test_the_best_of_those_that_finished_and_are_finite_is_taken_for_every_seed(tmp_path: pathlib.Path):
  sweep = _read(tmp_path, _SWEEP)
  plain, own = sweep_search.searches(sweep.cells)
  for candidate, perplexity, rounds in zip(plain.candidates, ('9', '7', '3'), (3, 3, 2), strict=True):
    _finish(tmp_path / candidate.cell.name, perplexity, rounds)  # The last is the best, and unfinished.
  for candidate, perplexity in zip(own.candidates, ('nan', 'inf', 'nan', 'inf'), strict=True):
    _finish(tmp_path / candidate.cell.name, perplexity)
  made = _made(tmp_path, plain, own)
  choices = [sweep_search.choose(search, made) for search in (plain, own)]
  assert [choice.best for choice in choices] == [1, None]
  assert sweep_search.undecided(choices) == ['own-seed=4', 'own-seed=5']
  assert not choices[0].is_at_an_end
  made = {cell.name: cell.flags for cell in sweep_search.chosen(sweep.cells, choices)}
  assert set(made) == {'plain-seed=4', 'plain-seed=5', 'fixed-seed=4', 'fixed-seed=5'}
  assert made['plain-seed=5'] == {'rounds': '3', 'seed': '5', 'algorithm': 'a(lr=2)'}
  table = sweep_search.table(choices)
  assert '| `plain-seed=4` | `algorithm=a(lr=2)` | **7** | chosen |' in table
  assert '| `plain-seed=4` | `algorithm=a(lr=3)` | none |  |' in table


def test_a_best_value_at_an_end_of_its_list_is_said_to_be_there(tmp_path: pathlib.Path):
  sweep = _read(tmp_path, _SWEEP)
  plain, _ = sweep_search.searches(sweep.cells)
  for candidate, perplexity in zip(plain.candidates, ('9', '7', '3'), strict=True):
    _finish(tmp_path / candidate.cell.name, perplexity)
  choice = sweep_search.choose(plain, _made(tmp_path, plain))
  assert choice.best == 2 and choice.is_at_an_end
  assert '| **3** | chosen, at an end of its list |' in sweep_search.table([choice])


_REFUSES = 'import sys; sys.exit("error: holds a run with batch_size=16, not 4")'


def test_what_lies_in_the_folder_of_a_run_that_is_refused_is_no_result(tmp_path: pathlib.Path):
  sweep = _read(tmp_path, _SWEEP)
  plain, own = sweep_search.searches(sweep.cells)
  for search in (plain, own):
    for candidate in search.candidates:
      _finish(tmp_path / candidate.cell.name, '7')
  assert sweep_search.choose(plain, _made(tmp_path, plain)).best == 0
  choice = sweep_search.choose(plain, _made(tmp_path, plain, script=_REFUSES, batch_size=4))
  assert choice.best is None and sweep_search.undecided([choice]) == ['plain-seed=4', 'plain-seed=5']
  failure = 'failed: error: holds a run with batch_size=16, not 4'
  for values in ('a(lr=1)', 'a(lr=2)', 'a(lr=3)'):
    assert f'| `plain-seed=4` | `algorithm={values}` | none | {failure} |' in sweep_search.table([choice])


def test_the_best_of_those_that_did_not_fail_is_taken_and_the_others_are_said_to_have_failed(tmp_path: pathlib.Path):
  plain, _ = sweep_search.searches(_read(tmp_path, _SWEEP).cells)
  for candidate, perplexity, rounds in zip(plain.candidates, ('9', '7', '3'), (3, 3, 2), strict=True):
    _finish(tmp_path / candidate.cell.name, perplexity, rounds)  # The last one is unfinished, and fails as it goes on.
  table = sweep_search.table([sweep_search.choose(plain, _made(tmp_path, plain, script=_REFUSES))])
  assert '`algorithm=a(lr=2)` | **7** | chosen |' in table
  assert '`algorithm=a(lr=3)` | none | failed: error: holds a run' in table


def test_names_of_what_is_tried_are_unique_and_short_enough(tmp_path: pathlib.Path):
  alike = ['x|y', 'x/y', 'x-y', 'x - y', '"x"-y']
  searched = f'[search]\nupload = {alike}\nmodel = ["{"m" * 100}", "{"n" * 300}"]\n'
  (search,) = sweep_search.searches(_read(tmp_path, searched).cells)
  names = [candidate.cell.name for candidate in search.candidates]
  assert len(set(names)) == 10 and all(len(name) <= 160 for name in names)
  assert [candidate.cell.flags['upload'] for candidate in search.candidates[::2]] == alike


def test_names_of_what_is_tried_are_unique_in_all_searches(tmp_path: pathlib.Path):
  text = '[[runs]]\nname = "a"\nupload = ["x-model=y"]\n[[runs]]\nname = "a-upload=x"\nmodel = ["y"]\n'
  searches = sweep_search.searches(_read(tmp_path, text).cells)
  assert len({candidate.cell.name for search in searches for candidate in search.candidates}) == 2


def test_a_name_that_a_file_system_takes_is_kept(tmp_path: pathlib.Path):
  (search,) = sweep_search.searches(_read(tmp_path, f'[search]\nmodel = ["{"m" * 241}"]\n').cells)
  assert search.candidates[0].cell.name == f'run-model={"m" * 241}'
  (search,) = sweep_search.searches(_read(tmp_path, f'[search]\nmodel = ["{"m" * 242}"]\n').cells)
  assert search.candidates[0].cell.name.startswith(f'run-model={"m" * 140}-')


def test_set_ends_a_search(tmp_path: pathlib.Path):
  sweep = _read(tmp_path, _SWEEP, ('algorithm=d', 'upload=z'))
  assert not sweep_search.searches(sweep.cells)
  assert {cell.flags['algorithm'] for cell in sweep.cells} == {'d'}


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('[search]\nrounds = 3\n', r'rounds in \[search\] of .* is no list'),
    ('[search]\nrounds = [2, 3, "2"]\n', r"rounds in \[search\] of .* lists '2' twice: list a value once"),
    ('[[runs]]\nname = "a"\nrounds = [2, 2]\n', r"rounds in run 'a' of .* lists '2' twice: list a value once"),
    ('[search]\nrounds = []\n', r'rounds in \[search\] of .* is an empty list'),
    ('[flags]\nrounds = 1\n[search]\nrounds = [2, 3]\n', r'searches rounds in \[search\] and sets it in \[flags\]'),
    ('[grid]\nrounds = [1]\n[search]\nrounds = [2, 3]\n', r'varies rounds in \[grid\] and sets it in run'),
    ('[flags]\neval_split = "validation"\n[search]\nrounds = [2, 3]\n', r'searches, and sets eval_split'),
    ('[search]\noutput_dir = ["a"]\n', r'output_dir in \[search\]'),
    ('[[runs]]\nname = "search"\n', r"run of the name 'search', which a sweep needs itself"),
  ],
)
def test_what_cannot_be_searched_is_refused(tmp_path: pathlib.Path, text: str, said: str):
  with pytest.raises(failures.UsageError, match=said):
    _read(tmp_path, text)
