"""Runs that ended without a finite result: compared, drawn and listed without praise."""

import json
import math
import re
import sys

from experiments.comparisons import page
from experiments.comparisons import plots
from experiments.comparisons import runs as run_comparison
from experiments.comparisons import table
from experiments.results import metrics
from tests import binaries
from tests import language_model_runs as runs
from tests.experiments import tiny_family
from tests.experiments.comparisons.test_run_comparison import write_run

_OVERFLOWS = 'fed_avg(client_lr=0.1, server_lr=1e38)'


def _groups(*folders):
  return run_comparison.groups([run_comparison.read(folder) for folder in folders])


def _ends(value):
  return ((0, 400.0), (2, 200.0), (4, value))


def test_diverged_runs_have_no_mean_and_no_praise(tmp_path):
  first, second, third = _groups(
    write_run(tmp_path / 'a', _ends(math.inf)),
    write_run(tmp_path / 'b', seed=1),
    write_run(tmp_path / 'c', _ends(math.inf), megabytes=0.5, upload='sign'),
    write_run(tmp_path / 'd', _ends(300.0), megabytes=0.25, upload='uniform'),
  )
  columns = table.columns(first.quality, target=200)
  rows = [dict(zip(columns, row, strict=True)) for row in table.cells([first, second, third], target=200)]
  names = ('perplexity', 'min to max', 'accuracy', 'upload reduced', 'Pareto front', 'rounds to 200')
  assert [[row[name] for name in names] for row in rows] == [
    ['1 of 2 seeds diverged', '100.0 to 100.0', '', '', '', '2.0'],
    ['diverged', '', '', '', '', '2.0'],
    ['300.0', '', '0.250', '1.0x', 'yes', '2.0'],
  ]
  assert 'Some runs diverged' in page.render([first, second, third], {})


def test_a_classifier_that_diverges_has_no_accuracy(tmp_path):
  """Whose loss is NaN and which names the first class, right for a quarter of the examples."""
  write_run(tmp_path / 'a', ((0, 0.5), (2, 0.25), (4, 0.25)))
  text = (tmp_path / 'a' / 'metrics.csv').read_text().splitlines()
  place = metrics.COLUMNS.index('eval/loss')
  for number in (3, 5):  # Rounds 2 and 4.
    cells = text[number].split(',')
    text[number] = ','.join([*cells[:place], 'nan', *cells[place + 1 :]])
  (tmp_path / 'a' / 'metrics.csv').write_text('\n'.join(text) + '\n')
  (group,) = _groups(tmp_path / 'a')
  assert group.runs[0].diverged_round == 2
  columns = table.columns(group.quality, target=0.25)
  (row,) = table.cells([group], target=0.25)
  cells = dict(zip(columns, row, strict=True))
  assert [cells[name] for name in ('accuracy', 'Pareto front', 'upload reduced', 'rounds to 0.25')] == [
    'diverged', '', '', '0.0',
  ]  # fmt: skip


def test_runs_that_diverged_are_drawn(tmp_path):
  a = write_run(tmp_path / 'a', _ends(math.inf))
  b = write_run(tmp_path / 'b', ((0, 400.0), (4, math.inf)), upload='sign', megabytes=0.5)
  for folders in ([a], [a, b], [a, b, write_run(tmp_path / 'c', seed=1)]):
    assert plots.draw(_groups(*folders), tmp_path)


def _summary(folder):
  def refuse(constant):
    raise AssertionError(constant)

  return json.loads((folder / 'summary.json').read_text(), parse_constant=refuse)


def test_a_language_model_that_diverges_is_reported(text, environment, tmp_path):
  command = runs.command(text, tmp_path / 'run', algorithm=_OVERFLOWS, rounds=2, rounds_per_eval=1)
  process = runs.finish(command, environment)
  assert process.returncode == 0, process.stderr
  assert re.search('^perplexity on held-out clients +not finite$', process.stdout, re.MULTILINE)
  assert process.stderr.splitlines()[-1].startswith('diverged: since round 1 no evaluation has a finite perplexity')
  assert _summary(tmp_path / 'run')['diverged_round'] == 1
  compared = binaries.run('experiments.compare', [f'--runs={tmp_path}/run', f'--output_dir={tmp_path}/compared'])
  assert compared.returncode == 0, compared.stderr
  assert '  diverged ' in compared.stdout and 'yes' not in compared.stdout


def test_devices_whose_model_diverges_are_reported(text, environment, tmp_path):
  dataset = f'text(path={str(text)!r}, vocabulary="characters", sequence_length=20)'
  settings = dict(
    model=f'transformer(recipes={str(tiny_family.write(tmp_path / "recipes", (1,), dataset))!r})',
    dataset=dataset,
    devices='tiers(shares=[1.0])',
    algorithm=_OVERFLOWS,
    rounds=2,
    clients_per_round=5,
    output_dir=tmp_path / 'run',
  )
  flags = [f'--{name}={value}' for name, value in settings.items()]
  process = runs.finish([sys.executable, '-m', 'experiments.constrained_finetuning', *flags], environment)
  assert process.returncode == 0, process.stderr
  assert 'diverged: since round' in process.stderr and 'the run diverged' in process.stdout
  assert _summary(tmp_path / 'run')['eval/loss'] is None
  assert 'the run diverged' in (tmp_path / 'run' / 'plan.md').read_text()


def test_no_stage_goes_on_from_one_that_diverged(environment, tmp_path):
  settings = dict(
    model='vit(width=8, mlp_width=16, num_layers=2, num_heads=2, patch_size=2)',
    objective='simclr(width=6, outputs=4)',
    dataset='digits(max_examples=60, classes=[0, 1, 2])',
    partition='iid(clients=3)',
    batch_size=20,
    local_epochs=1,
    rounds=2,
    algorithm=_OVERFLOWS,
    output_dir=tmp_path / 'run',
  )
  flags = [f'--{name}={value}' for name, value in settings.items()]
  for _ in range(2):  # The second time, the stage is there.
    process = binaries.run('experiments.layerwise_ssl', flags, environment)
    assert process.returncode == 2, process.stderr
    assert process.stderr.splitlines()[-1].startswith('error: stage 1 diverged, since its round 1, and no stage')
    assert not (tmp_path / 'run' / 'summary.json').exists()
  assert _summary(tmp_path / 'run' / 'stage_01')['eval/loss'] is None
