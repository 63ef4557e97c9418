"""`--trainable` and `--devices`: tiers override arguments of the policy; whatever is wrong is one line."""

from absl.testing import parameterized

from experiments.command import device_specs
from experiments.command import spec
from models import transformer

_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=3, num_heads=2)(50)


class DeviceSpecsTest(parameterized.TestCase):
  def test_alike(self):
    devices = device_specs.build('suffix(blocks=2)')
    self.assertEqual(devices.shares, (1.0,))
    self.assertLen(devices.tiers, 1)

  def test_tiers_override_arguments(self):
    devices = device_specs.build('suffix(blocks=1)', 'tiers(shares=[0.25, 0.75], blocks=[1, 3])')
    self.assertEqual(devices.shares, (0.25, 0.75))
    trained = [sum(policy.choose(_MODEL, None)) for policy in devices.tiers]
    self.assertEqual(trained, [16 + 3, 3 * 16 + 3])  # 16 variables a block; 3 in the head.

  def test_tiers_give_what_the_policy_needs(self):
    self.assertLen(device_specs.build('lora', 'tiers(shares=[0.5, 0.5], rank=[1, 4])').tiers, 2)

  @parameterized.named_parameters(
    ('policy', 'some', 'alike', "unknown trainable 'some'; choose one of all, random, frozen"),
    ('devices', 'all', 'phones', "unknown devices 'phones'; choose one of alike, tiers"),
    ('chain', 'bias|head', 'alike', r"'\|' does not apply here"),
    ('no_shares', 'all', 'tiers(blocks=[1])', 'needs shares='),
    ('shares', 'all', 'tiers(shares=[0.5, 0.6])', 'shares must be positive and sum to 1'),
    ('length', 'suffix', 'tiers(shares=[0.5, 0.5], blocks=[1])', 'blocks must be a list of 2 values'),
    ('argument', 'suffix(blocks=1)', 'tiers(shares=[1.0], rank=[1])', "trainable suffix has no argument 'rank'"),
    ('value', 'suffix', 'tiers(shares=[1.0], blocks=[0])', 'blocks must be a whole number'),
    ('fraction', 'random(fraction=2)', 'alike', r'fraction must lie in \(0, 1\], not 2'),
  )
  def test_refuses(self, trainable, devices, message):
    with self.assertRaisesRegex(spec.SpecError, message):
      device_specs.build(trainable, devices)

  @parameterized.named_parameters(
    ('blocks', 'suffix(blocks=9)', 'blocks=9, but the model has 3'),
    ('nothing', 'random(fraction=0.001)', 'is not more than the'),
    ('pattern', 'lora(rank=2, on="nowhere")', 'nowhere'),
  )
  def test_refuses_what_does_not_fit_the_model(self, trainable, message):
    with self.assertRaisesRegex(spec.SpecError, message):
      device_specs.adapt(device_specs.build(trainable), _MODEL, 0, trainable)
