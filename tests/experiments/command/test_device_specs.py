"""`--trainable` and `--devices`: tiers override arguments of the policy; whatever is wrong is one line."""

import pytest

from experiments.command import device_specs
from experiments.command import spec
from models import transformer

_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=3, num_heads=2)(50)


def test_alike():
  devices = device_specs.build('suffix(blocks=2)')
  assert devices.shares == (1.0,)
  assert len(devices.tiers) == 1


def test_tiers_override_arguments():
  devices = device_specs.build('suffix(blocks=1)', 'tiers(shares=[0.25, 0.75], blocks=[1, 3])')
  assert devices.shares == (0.25, 0.75)
  trained = [sum(policy.choose(_MODEL, None)) for policy in devices.tiers]
  assert trained == [16 + 3, 3 * 16 + 3]  # 16 variables a block; 3 in the head.


def test_tiers_give_what_the_policy_needs():
  assert len(device_specs.build('lora', 'tiers(shares=[0.5, 0.5], rank=[1, 4])').tiers) == 2


@pytest.mark.parametrize(
  ('trainable', 'devices', 'message'),
  [
    pytest.param('some', 'alike', "unknown trainable 'some'; choose one of all, random, frozen", id='policy'),
    pytest.param('all', 'phones', "unknown devices 'phones'; choose one of alike, tiers, rounds", id='devices'),
    pytest.param('bias|head', 'alike', r"'\|' does not apply here", id='chain'),
    pytest.param('all', 'tiers(blocks=[1])', 'needs shares=', id='no_shares'),
    pytest.param('all', 'tiers(shares=[0.5, 0.6])', 'shares must be positive and sum to 1', id='shares'),
    pytest.param('suffix', 'tiers(shares=[0.5, 0.5], blocks=[1])', 'blocks must be a list of 2 values', id='length'),
    pytest.param(
      'suffix(blocks=1)', 'tiers(shares=[1.0], rank=[1])', "trainable suffix has no argument 'rank'", id='argument'
    ),
    pytest.param('suffix', 'tiers(shares=[1.0], blocks=[0])', 'blocks must be a whole number', id='value'),
    pytest.param('random(fraction=2)', 'alike', r'fraction must lie in \(0, 1\], not 2', id='fraction'),
  ],
)
def test_refuses(trainable, devices, message):
  with pytest.raises(spec.SpecError, match=message):
    device_specs.build(trainable, devices)


@pytest.mark.parametrize(
  ('trainable', 'message'),
  [
    pytest.param('suffix(blocks=9)', 'blocks=9, but the model has 3', id='blocks'),
    pytest.param('random(fraction=0.001)', 'is not more than the', id='nothing'),
    pytest.param('lora(rank=2, on="nowhere")', 'nowhere', id='pattern'),
  ],
)
def test_refuses_what_does_not_fit_the_model(trainable, message):
  with pytest.raises(spec.SpecError, match=message):
    device_specs.adapt(device_specs.build(trainable), _MODEL, 0, trainable)
