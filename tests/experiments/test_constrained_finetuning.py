"""The binary for devices with limits: what it chooses, sends, leaves behind, and refuses."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from compression import update_codec
from experiments.command import spec
from experiments.limits import device_limits
from experiments.limits import domains
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planning
from experiments.results import columns
from experiments.results import metrics
from models import catalog
from models import language_task
from optimizers import client_costs
from optimizers import fed_opt
from tests import declared_files
from tests import heldout_file
from tests import language_model_runs as runs
from tests.experiments import tiny_family

_LENGTH = 20


@pytest.fixture(scope='module')
def dataset(text) -> str:
  return f'text(path={str(text)!r}, vocabulary="characters", sequence_length={_LENGTH})'


@pytest.fixture(scope='module')
def recipes(dataset, tmp_path_factory) -> pathlib.Path:
  return tiny_family.write(tmp_path_factory.mktemp('recipes'), (1, 2), dataset)


@pytest.fixture(scope='module')
def costs(recipes) -> planning.Cost:
  setting = client_costs.ClientWorkload(
    build_task=lambda model: language_task.build(model, _LENGTH),
    optimizer=fed_opt.fed_avg(client_lr=0.3).client_optimizer,
    upload=update_codec.UpdateCodec(),
    batch_size=16,
    num_examples=16,
  )
  tiers = device_limits.build('tiers(shares=[0.5, 0.5])')
  family = model_family.ModelFamily(domains.LANGUAGE, recipes)
  return planning.costs(
    family,
    methods.caff(),
    tiers,
    setting,
    lambda model: spec.build(model, catalog.LANGUAGE_MODELS, 'model')(99),
  )


def _run(recipes, environment, output_dir, **settings) -> subprocess.CompletedProcess[str]:
  settings = (
    dict(
      model=f'transformer(recipes={str(recipes)!r})',
      rounds=2,
      clients_per_round=8,
      rounds_per_eval=2,
      output_dir=output_dir,
    )
    | settings
  )
  flags = [f'--{name}={value}' for name, value in settings.items()]
  return runs.finish([sys.executable, '-m', 'experiments.constrained_finetuning', *flags], environment)


def test_each_device_trains_and_sends_what_it_can_bear(dataset, recipes, costs, environment, tmp_path):
  sent = [costs(2, (1, 2), tier).upload_bytes for tier in (0, 1)]
  limits = [1e-6, *(size / 1e6 for size in sent)]
  process = _run(
    recipes,
    environment,
    tmp_path / 'run',
    dataset=dataset,
    trainable='caff(drop=True)',
    devices=f'tiers(shares=[0.2, 0.4, 0.4], upload_mb={limits})',
    clients_per_round=0,
  )
  assert process.returncode == 0, process.stderr
  assert re.search(r'^2 +1\.20 \(chosen\)$', process.stdout, re.MULTILINE)  # 0.4 * 1 + 0.4 * 2
  assert 'left out' in process.stdout
  assert 'tiny_2 is pre-trained first' in process.stderr and 'tiny_1' not in process.stderr
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert {row['upload_bytes_per_client_max'] for row in rows[1:]} == {sent[1]}
  assert all(0 < row['trained_fraction'] < 1 for row in rows[1:])
  heldout_file.check(tmp_path / 'run', examples=False)
  assert declared_files.undeclared(tmp_path / 'run', 'constrained_finetuning') == []
  assert declared_files.undeclared_keys(tmp_path / 'run' / 'config.json', columns.CONFIG) == set()
  plan = (tmp_path / 'run' / 'plan.md').read_text()
  assert '| tier 2 (40% of the clients) |' in plan and 'suffix(blocks=2)' in plan and 'after the training' in plan
  num_clients = json.loads((tmp_path / 'run' / 'summary.json').read_text())['num_clients_total']
  weak, strong = (int(re.search(rf'\| tier {tier} \| (\d+) \|', plan)[1]) for tier in (1, 2))
  assert num_clients == weak + strong
  # All three clients without text, if they take part, send nothing but that.
  assert {row['num_clients'] for row in rows[1:]} == {num_clients}
  for row in rows[1:]:
    assert 0 <= weak * sent[0] + strong * sent[1] - row['upload_bytes'] <= 3 * sent[1]


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    (dict(dataset='docstrings'), 'predict characters: write --dataset='),
    (
      dict(devices='tiers(shares=[1.0], memory_mb=[0.001])'),
      'suffix(blocks=1) of 1 blocks is too much for tier 0 (100% of the clients)',
    ),
    (dict(pretrained='runs/other'), 'each of its models has a recipe'),
    (
      dict(devices='tiers(shares=[1.0], upload_mb=[1])', secure_sum='modular(limit=1)', client_weighting='uniform'),
      'leave upload_mb out of --devices',
    ),
  ],
)
def test_what_cannot_be_is_refused_in_one_line(settings, message, dataset, recipes, environment, tmp_path):
  process = _run(recipes, environment, tmp_path / 'run', **(dict(dataset=dataset) | settings))
  assert process.returncode == 2, process.stderr
  last = process.stderr.strip().rpartition('\n')[2]
  assert last.startswith('error: ') and message in last and 'Traceback' not in process.stderr
  assert not (tmp_path / 'run').exists()
