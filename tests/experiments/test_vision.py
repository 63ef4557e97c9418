"""Models of images: pre-trained on some classes, fine-tuned on others under limits, and what does not go together."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from compression import update_codec
from data import errors
from data import partitions
from data.sources import digits
from experiments.central import evaluation
from experiments.central import image_evaluation
from experiments.central import image_examples
from experiments.central import training
from experiments.command import failures
from experiments.command import spec
from experiments.limits import device_limits
from experiments.limits import domains
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planning
from experiments.results import metrics
from experiments.starts import pretrained
from models import checkpoint
from models import image_task
from models import vit
from optimizers import client_costs
from optimizers import fed_opt
from tests import heldout_file
from tests import language_model_runs as runs

_MODEL = 'vit(width=16, mlp_width=16, num_layers={depth}, num_heads=2, patch_size=2)'
_RECIPE = f"""\
--dataset=digits(classes=[0, 1, 2, 3, 4], max_examples=200)
--model={_MODEL}
--steps=60
--batch_size=16
--learning_rate=0.003
--warmup_steps=5
--steps_per_eval=60
--steps_per_checkpoint=60
"""


@pytest.fixture(scope='module')
def recipes(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('recipes')
  for depth in (1, 2):
    (folder / f'vit_{depth}.flags').write_text(_RECIPE.format(depth=depth))
  return folder


@pytest.fixture(scope='module')
def work(tmp_path_factory) -> domains.Work:
  with pytest.MonkeyPatch.context() as patched:
    patched.setenv('LEANFED_CACHE', str(tmp_path_factory.mktemp('cache')))
    return domains.VISION.prepare(digits.digits(classes=[7, 8, 9]), partitions.iid(clients=4))


def _run(binary: str, environment: dict[str, str], **settings) -> subprocess.CompletedProcess[str]:
  flags = [f'--{name}={value}' for name, value in settings.items()]
  return runs.finish([sys.executable, '-m', f'experiments.{binary}', *flags], environment)


def test_each_device_learns_new_classes_within_its_limits(recipes, environment, tmp_path):
  # One block of width 16 has 4 * (16 * 16 + 16) + 2 * 16 * 16 + 32 + 2 * 32 = 1,696 numbers, and with the head of norm
  # 32 and classes 17 * 5 = 85: 1,813 numbers, 7,252 bytes; two blocks 3,509 numbers, 14,036 bytes; and what goes beside.
  process = _run(
    'constrained_finetuning',
    environment,
    model=f'vit(recipes={str(recipes)!r})',
    dataset='digits(classes=[5, 6, 7, 8, 9])',
    partition='dirichlet(alpha=1.0, clients=12)',
    devices='tiers(shares=[0.5, 0.5], upload_mb=[0.0075, 0.0145])',
    algorithm='fed_avg(client_lr=0.3)',
    clients_per_round=0,
    batch_size=8,
    rounds=6,
    rounds_per_eval=6,
    output_dir=tmp_path / 'run',
  )
  assert process.returncode == 0, process.stderr
  assert re.search(r'^2 +1\.50 \(chosen\)$', process.stdout, re.MULTILINE)
  assert 'vit_2 is pre-trained first' in process.stderr and 'vit_1' not in process.stderr
  (summary,) = pathlib.Path(environment['LEANFED_CACHE']).glob('pretrained/vit_2-*/summary.json')
  learned = json.loads(summary.read_text())
  assert learned['num_training_examples'] == 200 and learned['eval/accuracy'] > 0.5  # Of five classes.
  assert f'accuracy on held-out clients {learned["eval/accuracy"]:.3f} after 60 steps' in process.stderr
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert 13_800 < rows[-1]['upload_bytes_per_client_max'] < 14_500
  assert rows[-1]['eval/loss'] < rows[0]['eval/loss'] and rows[-1]['eval/perplexity'] is None
  heldout_file.check(tmp_path / 'run', examples=True)
  plan = (tmp_path / 'run' / 'plan.md').read_text()
  assert 'suffix(blocks=1)' in plan and 'suffix(blocks=2)' in plan
  before, after = re.search(r'\| tier 1 \| \d+ \| ([.\d]+) \| ([.\d]+) \|', plan).groups()
  assert float(after) > float(before) + 0.1
  described = checkpoint.load(tmp_path / 'run').description
  assert (described.image_shape, described.class_names) == ((8, 8, 1), ('5', '6', '7', '8', '9'))
  assert described.model == _MODEL.format(depth=2)


def test_the_head_for_classes_starts_anew_and_the_rest_as_it_was(work, tmp_path):
  model = work.build(_MODEL.format(depth=1))
  learned = vit.vit(width=16, mlp_width=16, num_layers=1, num_heads=2, patch_size=2).classifier((8, 8, 1), 5)
  weights = {v.name: np.full(v.shape, 0.25, np.float32) for v in learned.variables}
  checkpoint.save(tmp_path, weights, checkpoint.of_images(_MODEL.format(depth=1), (8, 8, 1), '01234'), 7)
  start = work.start(pretrained.load(tmp_path), _MODEL.format(depth=1), model, 'digits')
  found = {v.name: value for v, value in zip(model.variables, start.of(model, seed=3), strict=True)}
  initial = {v.name: value for v, value in zip(model.variables, model.initial_weights(3), strict=True)}
  for name, value in found.items():
    expected = initial[name].numpy() if name.startswith('head/classifier') else np.full(value.shape, 0.25)
    np.testing.assert_array_equal(value, expected, name)
  assert found['head/classifier_kernel'].shape == (16, 3)


def test_a_start_of_other_shapes_is_refused(work, tmp_path):
  other = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1, patch_size=2).classifier((8, 8, 1), 5)
  weights = other.by_name([weight.numpy() for weight in other.initial_weights(0)])
  checkpoint.save(tmp_path, weights, checkpoint.of_images('vit', (8, 8, 1), '01234'), 7)
  text = _MODEL.format(depth=1)
  with pytest.raises(
    failures.UsageError, match=r'holds another model: block_0/attention/key_bias has shape \[8\], not \[16\]'
  ):
    work.start(pretrained.load(tmp_path), text, work.build(text), 'digits')


def test_examples_of_clients_are_scored(work):
  task = work.task(work.build(_MODEL.format(depth=1)))
  examples = work.examples(work.prepared.client_ids('train')[:2])
  assert set(examples) == {'image', 'label'} and examples['image'].shape[1:] == (8, 8, 1)
  zero = [np.zeros(variable.shape, np.float32) for variable in task.model.variables]
  measured = evaluation.Evaluation(task)(zero, examples)
  assert measured['eval/loss'] == pytest.approx(1.0986123)  # ln 3
  assert measured['eval/accuracy'] == pytest.approx(np.mean(examples['label'] == 0))


def _interrupted_after(step: int):
  advance = training._Training._advance

  def interrupted(self):
    if self._state.step == step:
      raise KeyboardInterrupt
    return advance(self)

  return interrupted


def test_central_training_goes_on_with_images(work, tmp_path):
  model = work.build(_MODEL.format(depth=1))
  task, examples = image_task.build(model, (8, 8, 1)), image_examples.examples(work.prepared, 2)
  description = work.describe(_MODEL.format(depth=1), 'all', 'alike')
  settings = dict(batch_size=8, warmup_steps=2, steps_per_eval=3, steps_per_checkpoint=3)
  config = training.CentralConfig(tmp_path / 'whole', steps=6, **settings)
  training.train(task, examples, description, config)
  rows = (tmp_path / 'whole' / 'metrics.csv').read_text().splitlines()
  assert len(rows) == 4 and rows[0].startswith('step,')
  with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(training._Training, '_advance', _interrupted_after(4))
    training.train(task, examples, description, dataclasses.replace(config, output_dir=tmp_path / 'killed'))
  training.train(task, examples, description, dataclasses.replace(config, output_dir=tmp_path / 'killed'))
  assert checkpoint.load(tmp_path / 'killed').content_hash == checkpoint.load(tmp_path / 'whole').content_hash


@pytest.mark.parametrize(
  ('classes', 'message'),
  [
    (
      [4, 5],
      'pre-trained on 0, 1, 2, 3, 4 of digits, 4 of which --dataset holds too: write others, as digits(classes=',
    ),
    (None, '0, 1, 2, 3, 4 of which --dataset holds too'),
  ],
)
def test_classes_that_were_pre_trained_on_are_refused(classes, message, recipes):
  family = model_family.vit(recipes=str(recipes))
  with pytest.raises(failures.UsageError, match=re.escape(message)):
    family.check(digits.digits(classes=classes))
  family.check(digits.digits(classes=[5, 9]))
  model_family.vit(recipes=str(recipes), dataset='digits(classes=[0, 1])').check(digits.digits(classes=[2, 5]))


def test_a_saved_model_is_scored_on_held_out_images(work, tmp_path, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', str(work.prepared.database.parent))
  text = _MODEL.format(depth=1)
  model = work.build(text)
  weights = {variable.name: np.zeros(variable.shape, np.float32) for variable in model.variables}
  weights['head/classifier_bias'][2] = 5.0  # Says 9, whatever it sees.
  checkpoint.save(tmp_path, weights, work.describe(text, 'all', 'alike'), 0)
  measured = image_evaluation.evaluate(tmp_path, digits.digits(classes=[7, 8, 9]), 0)
  labels = work.prepared.arrays('heldout')['label']
  assert (measured['num_clients'], measured['num_examples']) == (10, len(labels))
  assert measured['eval/accuracy'] == pytest.approx(np.mean(labels == 2))
  with pytest.raises(failures.UsageError, match=r'names 7, 8, 9, but --dataset has 1, 2: choose its classes=\[...\]'):
    image_evaluation.evaluate(tmp_path, digits.digits(classes=[1, 2]), 0)
  with pytest.raises(
    failures.UsageError, match=r'takes images of \[8, 8, 1\], but .* have \[16, 16, 1\]: choose others'
  ):
    image_evaluation.evaluate(tmp_path, digits.digits(classes=[7, 8, 9], image_size=16), 0)


def test_images_of_other_colours_than_those_learned_are_refused(work):
  with pytest.raises(
    failures.UsageError, match=r'learned from images of shape \[8, 8, 1\], but .* have \[8, 8, 3\]: choose'
  ):
    domains.ImageWork(dataclasses.replace(work.prepared, image_shape=(8, 8, 3))).check_learned(
      digits.digits(classes=[0])
    )
  work.check_learned(digits.digits(classes=[0]))


def test_images_that_patches_do_not_divide_are_refused(work):
  with pytest.raises(spec.SpecError, match='do not fit: patch_size=3 must divide images of 8 x 8 pixels'):
    work.build('vit(num_layers=1, patch_size=3)')


def test_shipped_recipes_hold_what_their_names_say():
  assert model_family.vit().depths == (3, 6, 9, 12)
  images = model_family.vit(recipes='experiments/flagfiles/vits_32', depths=[12])
  assert images.spec(12) == 'vit(width=128, mlp_width=512, num_layers=12, num_heads=4, patch_size=4)'


def test_residual_networks_are_fitted_to_devices_by_depth_but_not_by_width(work, tmp_path):
  assert model_family.resnet().spec(6) == 'resnet(width=16, num_layers=6)' and model_family.resnet().depths == (3, 6, 9)
  model = 'resnet(width=4, num_layers={depth}, blocks_per_group=1, norm_groups=2)'
  for depth in (1, 2):
    (tmp_path / f'resnet_{depth}.flags').write_text(_RECIPE.replace(_MODEL, model).format(depth=depth))
  family = model_family.resnet(recipes=str(tmp_path))
  setting = client_costs.ClientWorkload(
    work.task, fed_opt.fed_avg(client_lr=0.1).client_optimizer, update_codec.UpdateCodec(), 4, 8
  )
  tiers = device_limits.build('tiers(shares=[0.5, 0.5], upload_mb=[0.0013, 1])')

  def choose(name: str) -> planning.DevicePlan:
    method = methods.METHODS[name]()
    return planning.choose(family, method, tiers, planning.costs(family, method, tiers, setting, work.build))

  plan = choose('caff')
  # One block of 2 * (9 * 16 + 8) = 304 numbers and the head of 4 * 3 + 3 = 15: 1,276 bytes, a bit for each of 3 + 6 + 2
  # variables and the weight. The second block has 9 * 32 + 16 + 9 * 64 + 16 = 896 numbers, too many for the first tier.
  assert plan.depth == 1 and [fit.cost.upload_bytes for fit in plan.fits] == [1_282, 1_282]
  assert 'suffix(blocks=1) of 2 blocks is too much for tier 0' in plan.considered[2]
  for name, reason in (('heterofl', 'width needs a model whose variables name'), ('lora', 'kernel of a convolution')):
    with pytest.raises(failures.UsageError, match=f'has no cost to hold against limits: .*{reason}'):
      choose(name)


def test_data_of_the_other_domain_is_refused_in_one_line(recipes, environment, tmp_path):
  process = _run(
    'constrained_finetuning',
    environment,
    model=f'vit(recipes={str(recipes)!r})',
    dataset='docstrings',
    output_dir=tmp_path / 'run',
  )
  assert process.returncode == 2, process.stderr
  last = process.stderr.strip().rpartition('\n')[2]
  assert last.startswith('error: ') and "write for example --dataset='digits(classes=" in last
  assert not (tmp_path / 'run').exists()


def test_natural_clients_are_refused_without_a_process():
  with pytest.raises(errors.DataError, match=r'iid\(clients='):
    domains.VISION.prepare(digits.digits(classes=[5]), partitions.natural())
