"""Plans: the depth with the most trained layers, the most that each device can bear, and what nobody can."""

import re

import pytest

from compression import update_codec
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import spec
from experiments.limits import device_limits
from experiments.limits import domains
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planning
from models import catalog
from models import language_task
from models import model as model_lib
from optimizers import client_costs
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import policies
from tests.experiments import tiny_family

_WORKLOAD = client_costs.ClientWorkload(
  build_task=lambda model: language_task.build(model, sequence_length=4),
  optimizer=fed_opt.fed_avg(client_lr=0.1).client_optimizer,
  upload=update_codec.UpdateCodec(),
  batch_size=2,
  num_examples=4,
)


def _build(model: str) -> model_lib.Model:
  return spec.build(model, catalog.LANGUAGE_MODELS, 'model')(20)


@pytest.fixture(scope='module')
def family(tmp_path_factory) -> model_family.ModelFamily:
  return model_family.ModelFamily(domains.LANGUAGE, tiny_family.write(tmp_path_factory.mktemp('recipes'), (1, 2, 4)))


def _cost(depth: int, sizes: planning.Sizes, tier: int) -> client_costs.ClientCost:
  """A made-up cost: 1 MB of upload for each unit of size, 10 MB for each block of a whole model."""
  size = sizes[tier]
  return client_costs.ClientCost(depth * 1e6, int(1e6 * (10 * depth if size is None else size)), 1e9)


def _choose(family, method: str, tiers: str, **arguments) -> planning.DevicePlan:
  return planning.choose(family, methods.METHODS[method](**arguments), device_limits.build(tiers), _cost)


def test_the_depth_is_that_with_the_most_trained_layers(family):
  # Tiers that bear 1 and 4 blocks train 1 of 1 and 1 of 1, 1 of 2 and 2 of 2, 1 of 4 and 4 of 4: 1, 1.5 and 2.5 on average.
  plan = _choose(family, 'caff', 'tiers(shares=[0.5, 0.5], upload_mb=[1, 4])')
  assert plan.considered == {1: 1.0, 2: 1.5, 4: 2.5}
  assert (plan.depth, plan.trainable) == (4, 'suffix')
  assert plan.devices == 'tiers(shares=[0.5, 0.5], blocks=[1, 4])'
  assert [fit.policy for fit in plan.fits] == ['suffix(blocks=1)', 'suffix(blocks=4)']
  assert not plan.dropped


def test_a_depth_that_some_device_cannot_bear_is_ruled_out(family):
  plan = _choose(family, 'caff', 'tiers(shares=[0.5, 0.5], upload_mb=[1, 4], memory_mb=[2, 9])')
  assert plan.depth == 2
  expected = 'suffix(blocks=1) of 4 blocks is too much for tier 0 (50% of the clients): 4 MB of memory where memory_mb'
  assert plan.considered[4].startswith(expected)
  assert '| 2 | 1.50 (chosen) |' in planning.table(plan)


def test_of_equal_depths_the_smallest_is_chosen(family):
  plan = _choose(family, 'caff', 'tiers(shares=[1.0], upload_mb=[1])')
  assert plan.considered == {1: 1.0, 2: 1.0, 4: 1.0}
  assert plan.depth == 1


@pytest.mark.parametrize(('limit', 'blocks'), [(1, 1), (1.99, 1), (2, 2), (2.99, 2), (3, 3), (4, 4), (100, 4)])
def test_a_device_takes_the_largest_that_is_not_beyond_its_limit(limit, blocks, family):
  assert _choose(family, 'caff', f'tiers(shares=[1.0], upload_mb=[{limit}])').considered[4] == blocks


def test_the_weakest_device_decides_for_all_where_all_are_alike(family):
  tiers = 'tiers(shares=[0.5, 0.5], upload_mb=[3, 17])'  # Ranks are powers of 2.
  assert _choose(family, 'lora', tiers).devices == 'tiers(shares=[0.5, 0.5], rank=[2, 2])'
  assert _choose(family, 'hetero_lora', tiers).devices == 'tiers(shares=[0.5, 0.5], rank=[2, 16])'


def test_a_device_that_can_bear_nothing_is_named_with_its_limit(family):
  with pytest.raises(failures.UsageError) as caught:
    _choose(family, 'full', 'tiers(shares=[0.25, 0.75], upload_mb=[9, 40])')
  message = str(caught.value)
  expected = 'all of 1 blocks is too much for tier 0 (25% of the clients): 10 MB of upload where upload_mb allows 9'
  assert expected in message and 'drop=True' in message and '\n' not in message
  with pytest.raises(failures.UsageError, match=r'tier 0 \(25% .* and tier 1 \(75%'):
    _choose(family, 'full', 'tiers(shares=[0.25, 0.75], upload_mb=[9, 8])')


def test_weak_devices_are_left_out_on_request(family):
  plan = _choose(family, 'full', 'tiers(shares=[0.25, 0.75], upload_mb=[9, 40])', drop=True)
  assert plan.dropped == {0}
  assert plan.considered == {1: 0.75, 2: 1.5, 4: 3.0}
  assert plan.fits[0].cost is None and plan.fits[1].policy == 'all'
  assert (
    _choose(family, 'lora', 'tiers(shares=[0.5, 0.5], upload_mb=[0.5, 5])', drop=True).fits[1].policy == 'lora(rank=4)'
  )
  assert _choose(family, 'lora', 'tiers(shares=[0.5, 0.5], upload_mb=[0.5, 5])', drop=True).devices == (
    'tiers(shares=[0.5, 0.5], rank=[4, 4])'  # A policy for everyone, though the first take no part.
  )
  with pytest.raises(failures.UsageError, match='no model is small enough') as caught:
    _choose(family, 'full', 'tiers(shares=[1.0], upload_mb=[9])', drop=True)
  assert 'drop=True' not in str(caught.value)


@pytest.mark.parametrize('method', methods.METHODS)
def test_every_method_makes_specs_that_can_be_built(method, family):
  plan = _choose(family, method, 'tiers(shares=[0.5, 0.5], upload_mb=[0.5, 40])', drop=True)
  devices = device_specs.build(plan.trainable, plan.devices)
  device_specs.adapt(devices, _build(plan.model), 0, plan.trainable)
  assert len(devices.shares) == 2
  assert plan.depth == 4
  assert '| tier 0 (50% of the clients) | upload_mb=0.5 |' in planning.table(plan)


def test_the_table_says_which_run_it_is(family):
  plan = _choose(family, 'caff', 'tiers(shares=[0.5, 0.5], upload_mb=[1, 2])')
  flags = """--trainable='suffix' --devices='tiers(shares=[0.5, 0.5], blocks=[1, 2])'"""
  assert flags in planning.table(plan) and family.spec(2) in planning.table(plan)
  left_out = _choose(family, 'caff', 'tiers(shares=[0.5, 0.5], upload_mb=[0.5, 2])', drop=True)
  assert '--trainable' not in planning.table(left_out)


def test_a_cost_that_rises_and_falls_breaks_no_limit(family):
  def cost(depth, sizes, tier):
    del depth
    return client_costs.ClientCost(1e6, {1: 1, 2: 2, 4: 9, 8: 3}.get(sizes[tier], 20) * 1_000_000, 1e9)

  method, tiers = methods.lora(), device_limits.build('tiers(shares=[0.5, 0.5], upload_mb=[4, 10])')
  plan = planning.choose(family, method, tiers, cost)
  assert plan.devices == 'tiers(shares=[0.5, 0.5], rank=[8, 8])'  # That rank 4 would be too much does not matter.


def test_few_of_the_sizes_are_looked_at(family):
  seen = []

  def cost(depth, sizes, tier):
    seen.append((depth, sizes[tier]))
    return client_costs.ClientCost(1e6, sizes[tier] * 1_000_000, 1e9)

  plan = planning.choose(family, methods.lora(), device_limits.build('tiers(shares=[1.0], upload_mb=[10])'), cost)
  assert plan.devices == 'tiers(shares=[1.0], rank=[8])'
  for depth in family.depths:  # Of 7 sizes the fourth, sixth and fifth, or fewer.
    assert len([size for each, size in seen if each == depth]) <= 4, seen


def test_a_cost_that_others_raise_is_refused(family):
  def cost(depth, sizes, tier):
    del depth
    return client_costs.ClientCost(1e6, 1_000_000 * (max(sizes) if len(set(sizes)) > 1 else sizes[tier]), 1e9)

  method, tiers = methods.hetero_lora(), device_limits.build('tiers(shares=[0.5, 0.5], upload_mb=[2, 8])')
  with pytest.raises(failures.UsageError, match=r'lora\(rank=2\) takes tier 0 .* 8 MB .* beside the other tiers'):
    planning.choose(family, method, tiers, cost)


def test_sub_models_count_as_their_share_of_the_layers(family):
  assert _choose(family, 'fedrolex', 'tiers(shares=[1.0], upload_mb=[0.5])').considered == {1: 0.5, 2: 1.0, 4: 2.0}


def test_real_costs_are_those_of_the_policy(family):
  tiers = device_limits.build('tiers(shares=[0.5, 0.5])')
  cost = planning.costs(family, methods.caff(), tiers, _WORKLOAD, _build)
  devices = devices_lib.Devices((policies.Suffix(1), policies.Suffix(2)), (0.5, 0.5))
  for tier in (0, 1):
    expected = client_costs.client_cost(devices, tier, _build(family.spec(2)), _WORKLOAD)
    assert cost(2, (1, 2), tier) == expected
  assert cost(2, (1, 2), 0) is cost(2, (1, 2), 0)  # Found once.


@pytest.mark.parametrize('depths', [[3, 5], [], 3, [3.0], [True]])
def test_depths_without_a_recipe_are_refused(depths):
  with pytest.raises(ValueError, match='depths must be a list of some of 3, 6, 9, 12, not'):
    model_family.transformer(depths=depths)
  assert model_family.transformer().depths == (3, 6, 9, 12)


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'message'),
  [
    ('tiny_1', '', '', 'holds no recipes such as'),
    ('tiny_3', 'num_layers=3', 'num_layers=2', 'has a model of 2 blocks: call it ..._2'),
    ('tiny_3', '--model', '--other', 'must have --model and --dataset'),
    ('tiny_3', 'vocabulary="characters"', 'vocabulary=60', 'predict characters: write --dataset='),
    ('other_2', '', '', 'both of depth 2: remove one'),
  ],
)
def test_recipes_that_are_not_what_they_say_are_refused(name, old, new, message, tmp_path):
  recipes = tiny_family.write(tmp_path / 'recipes', (2, 3))
  if 'no recipes' in message:
    recipes = tmp_path
  else:
    text = (recipes / f'tiny_{name[-1]}.flags').read_text()
    (recipes / f'{name}.flags').write_text(text.replace(old, new) if old else text)
  with pytest.raises(ValueError, match=re.escape(message)):
    model_family.transformer(recipes=str(recipes))
