"""Tiers: shares are kept, a client stays what it is, and what does not fit together is refused."""

import numpy as np
import pytest
import tensorflow as tf

from compression import delivery
from compression import groups
from models import transformer
from optimizers import devices as devices_lib
from optimizers import policies
from optimizers import slice_source
from optimizers import trainable

_MODEL = transformer.transformer(width=8, mlp_width=64, num_layers=2, num_heads=4)(50)


def _drawn(policy, model, client):
  """Which variables a client trains, in a round of its own."""
  seed = tf.constant([client, 1], tf.int64)
  return [bool(flag) for flag in policy.choose(model, trainable.Seeds(0, seed, seed))]


def test_tiers_get_their_shares():
  devices = devices_lib.Devices((policies.All(),) * 3, (0.5, 0.3, 0.2))
  keys = np.random.default_rng(0).integers(-(2**62), 2**62, 3000)
  tiers = np.array([devices.tier(tf.constant(key)) for key in keys])
  # A standard error of sqrt(.25 / 3000) = .009 at most.
  np.testing.assert_allclose(np.bincount(tiers) / 3000, [0.5, 0.3, 0.2], atol=0.03)


def test_a_client_keeps_its_tier():
  devices = devices_lib.Devices((policies.All(),) * 2, (0.5, 0.5))
  assert devices.tier(tf.constant(7, tf.int64)) == devices.tier(tf.constant(7, tf.int64))


def test_the_server_holds_the_largest_model():
  devices = devices_lib.Devices((policies.Lora(rank=2), policies.Lora(rank=5)), (0.5, 0.5))
  model = devices.adapt(_MODEL)
  ranks = {variable.units.count for variable in model.variables if '_lora_' in variable.name}
  assert ranks == {5}
  assert [layout.counts for layout in devices.layouts(model)] == [{'rank': 2}, {'rank': 5}]


def test_axes_that_every_tier_holds_whole_are_not_sliced():
  assert [dict(layout.counts) for layout in devices_lib.ALIKE.layouts(_MODEL)] == [{}]
  alike = devices_lib.Devices((policies.Lora(rank=2),), (1.0,))
  assert [dict(layout.counts) for layout in alike.layouts(alike.adapt(_MODEL))] == [{}]


def test_a_tier_with_the_whole_axis_beside_one_with_a_part():
  devices = devices_lib.Devices((policies.Width(fraction=0.5), policies.All()), (0.5, 0.5))
  # 64 neurons are 4 keys of 16; 4 heads are 4 keys of one.
  assert [dict(layout.counts) for layout in devices.layouts(_MODEL)] == [
    {'heads': 2, 'neurons': 32},
    {'heads': 4, 'neurons': 64},
  ]


def test_rounds_get_their_shares_and_all_clients_of_one_are_of_a_tier():
  devices = devices_lib.Devices((policies.All(),) * 3, (0.5, 0.3, 0.2), by_round=True)
  seeds = np.random.default_rng(0).integers(-(2**62), 2**62, [3000, 2])
  tiers = np.array([devices.tier_of_round(tf.constant(seed)) for seed in seeds])
  np.testing.assert_allclose(np.bincount(tiers) / 3000, [0.5, 0.3, 0.2], atol=0.03)
  for seed, tier in zip(seeds[:5], tiers[:5], strict=True):
    of_clients = {int(devices.tier_in_round(tf.constant(seed), tf.constant(key, tf.int64))) for key in range(5)}
    assert of_clients == {tier}
  apart = devices_lib.Devices((policies.All(),) * 3, (0.5, 0.3, 0.2))
  for key in range(5):
    key = tf.constant(key, tf.int64)
    assert {int(apart.tier_in_round(tf.constant(seed), key)) for seed in seeds[:5]} == {int(apart.tier(key))}


def test_ever_is_the_union():
  devices = devices_lib.Devices((policies.Head(), policies.Suffix(blocks=1)), (0.5, 0.5))
  blocks = {variable.block for variable, ever in zip(_MODEL.variables, devices.ever(_MODEL, 0), strict=True) if ever}
  assert blocks == {'block_1', 'head'}


def test_random_subsets_may_train_everything():
  devices = devices_lib.Devices((policies.Random(fraction=0.4),), (1.0,))
  assert devices.ever(_MODEL, 0) == [True] * len(_MODEL.variables)


@pytest.mark.parametrize(
  'tiers',
  [
    pytest.param([policies.All()], id='all'),
    pytest.param([policies.Random(fraction=0.6)], id='random'),
    pytest.param([policies.Random(fraction=0.6, resample='round')], id='random_of_a_round'),
    pytest.param([policies.Random(fraction=0.6, resample='never')], id='random_for_ever'),
    pytest.param([policies.Frozen(blocks=1)], id='frozen'),
    pytest.param([policies.Suffix(blocks=1)], id='suffix'),
    pytest.param([policies.Lora(rank=2), policies.Lora(rank=3)], id='lora'),
    pytest.param([policies.Adapter(width=4)], id='adapter'),
    pytest.param([policies.Bias()], id='bias'),
    pytest.param([policies.Head()], id='head'),
    pytest.param([policies.Width(fraction=0.5), policies.All()], id='width'),
    pytest.param([policies.Layerwise(blocks=2)], id='layerwise'),
    pytest.param([policies.Suffix(blocks=1), policies.Suffix(blocks=2), policies.Bias()], id='tiers'),
    pytest.param([policies.Head(), policies.Random(fraction=0.6)], id='tiers_that_draw'),
  ],
)
def test_clients_train_all_of_a_set_or_none(tiers):
  devices = devices_lib.Devices(tuple(tiers), (1.0 / len(tiers),) * len(tiers))
  model = devices.adapt(_MODEL)
  together, ever = np.array(devices.together(model, 0)), np.array(devices.ever(model, 0))
  np.testing.assert_array_equal(together == groups.NEVER, ~ever)
  trained = np.stack([_drawn(policy, model, client) for policy in tiers for client in range(12)])
  for number in set(together) - {groups.NEVER}:
    of_set = trained[:, together == number]
    np.testing.assert_array_equal(of_set, np.tile(of_set[:, :1], of_set.shape[1]))
  assert not trained[:, ~ever].any()
  # And no two sets could have been one, unless variables are drawn.
  if not any(None in policy.flags_known_when_traced(model, 0) for policy in tiers):
    assert len(set(together[ever])) == len({tuple(column) for column in trained[:, ever].T})


def test_clients_that_choose_blocks_train_each_by_itself():
  numbers = devices_lib.ALIKE.together(_MODEL, 0, chooses_blocks=True)
  by_number = {
    number: {v.block for v, n in zip(_MODEL.variables, numbers, strict=True) if n == number} for number in numbers
  }
  assert sorted(map(sorted, by_number.values())) == [['block_0'], ['block_1'], ['embedding', 'head']]


@pytest.mark.parametrize('shares', [(), (0.5, 0.6), (1.5, -0.5), (0.5, True), ('a',)])
def test_other_shares_are_refused(shares):
  with pytest.raises(ValueError, match='shares must be positive and sum to 1'):
    devices_lib.Devices((policies.All(),) * len(shares), shares)


@pytest.mark.parametrize(
  ('tiers', 'name'),
  [
    ((policies.Lora(rank=2, alpha=1), policies.Lora(rank=2, alpha=4)), 'alpha'),
    ((policies.Lora(rank=2, on='a'), policies.Lora(rank=2)), 'on'),
    ((policies.Adapter(width=1), policies.Head(), policies.Adapter(width=4)), 'width'),
  ],
)
def test_tiers_have_one_model(tiers, name):
  with pytest.raises(ValueError, match=f'all tiers need the same {name}, not'):
    devices_lib.Devices(tiers, (1 / len(tiers),) * len(tiers))
  devices_lib.Devices((tiers[0], policies.Head()), (0.5, 0.5))  # Which has none of its own.


def test_tiers_of_different_denominators_are_refused():
  tiers = tuple(policies.Random(fraction=0.5, denominator=name) for name in ('trained', 'all'))
  with pytest.raises(ValueError, match='all tiers need the same denominator'):
    devices_lib.Devices(tiers, (0.5, 0.5))


def test_a_variable_is_sent_held_kept_or_rebuilt():
  way = delivery.Way
  for policy, block, expected in (
    (policies.Layerwise(blocks=1), 'block_0', way.KEPT),
    (policies.Frozen(blocks=1), 'block_0', way.REBUILT),
    (policies.Suffix(blocks=1), 'block_0', way.HELD),
    (policies.Suffix(blocks=1), 'block_1', way.SENT),
  ):
    found = devices_lib.Devices((policy,)).deliveries(_MODEL, 3)
    ways = {v.name: each.way for v, each in zip(_MODEL.variables, found, strict=True)}
    assert ways[f'{block}/mlp/up_kernel'] == expected
    assert ways['head/bias'] == way.SENT
    for index, each in enumerate(found):
      if each.way is way.REBUILT:
        np.testing.assert_array_equal(each.make(), _MODEL.initial_weights(3)[index])


def test_a_variable_cannot_be_both_kept_and_rebuilt():
  class Both(policies.Frozen):
    def kept(self, model):
      return self.rebuilt(model, 0)

  with pytest.raises(ValueError, match=r'cannot both keep variables and make them themselves: .*block_0/'):
    devices_lib.Devices((Both(blocks=1),)).deliveries(_MODEL, 0)


def test_a_variable_cannot_be_both_kept_and_received_in_slices():
  class Both(policies.Width):
    def kept(self, model):
      return frozenset(['block_1/mlp/up_kernel'])

  devices = devices_lib.Devices((Both(fraction=0.5),))
  deliveries = devices.deliveries(_MODEL, 0)
  sources = slice_source.build(_MODEL, devices.layouts(_MODEL), None, deliveries)
  with pytest.raises(ValueError, match='cannot both keep a variable and receive slices of it: block_1/mlp/up_ker'):
    slice_source.sliced(_MODEL, deliveries, sources)


def test_tiers_that_rebuild_different_variables_are_refused():
  devices = devices_lib.Devices((policies.Frozen(blocks=1), policies.Frozen(blocks=2)), (0.5, 0.5))
  with pytest.raises(ValueError, match='all tiers must freeze the same variables'):
    devices.rebuilt(_MODEL, 0)
