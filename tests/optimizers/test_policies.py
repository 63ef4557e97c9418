"""Policies choose what they say, by name, by block and by draw, and refuse what makes no sense."""

from absl.testing import parameterized
import numpy as np
import tensorflow as tf

from models import adapters
from models import lstm
from models import model as model_lib
from models import transformer
from optimizers import policies
from optimizers import randomness
from optimizers import trainable

_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=3, num_heads=2)(50)
_ROUND_SEED = tf.constant([3, 4], tf.int64)


def _seeds(round_seed=_ROUND_SEED, client_key=1, run=0):
  key = tf.constant(client_key, tf.int64)
  return trainable.Seeds(
    run,
    randomness.round_seed(round_seed, randomness.Purpose.TRAINABLE),
    randomness.client_seed(round_seed, key, randomness.Purpose.TRAINABLE),
  )


def _names(policy, model=_MODEL, seeds=None):
  chosen = policy.choose(model, seeds or _seeds())
  assert len(chosen) == len(model.variables)
  return {variable.name for variable, flag in zip(model.variables, chosen, strict=True) if bool(flag)}


def _additive(model=_MODEL):
  return {variable.name for variable in model.variables if variable.name.endswith('bias')}


class StaticPoliciesTest(parameterized.TestCase):
  def test_all(self):
    self.assertLen(_names(policies.All()), len(_MODEL.variables))

  def test_suffix_is_the_last_blocks_and_the_head(self):
    blocks = {name.split('/')[0] for name in _names(policies.Suffix(blocks=2))}
    self.assertEqual(blocks, {'block_1', 'block_2', 'head'})

  def test_suffix_of_all_blocks_leaves_the_embedding(self):
    self.assertEqual({v.name for v in _MODEL.variables} - _names(policies.Suffix(blocks=3)), {'embedding/table'})

  def test_a_stage_trains_the_newest_blocks_and_clients_have_kept_the_rest(self):
    policy = policies.Layerwise(blocks=1)
    self.assertEqual({name.split('/')[0] for name in _names(policy)}, {'block_2', 'head'})
    self.assertEqual({name.split('/')[0] for name in policy.held(_MODEL)}, {'embedding', 'block_0', 'block_1'})

  def test_a_stage_of_all_blocks_trains_the_embedding_too(self):
    policy = policies.Layerwise(blocks=3)
    self.assertLen(_names(policy), len(_MODEL.variables))
    self.assertEmpty(policy.held(_MODEL))

  def test_bias_is_every_additive_variable_and_nothing_else(self):
    self.assertEqual(_names(policies.Bias()), _additive())

  def test_head(self):
    self.assertEqual(_names(policies.Head()), {'head/norm_scale', 'head/norm_bias', 'head/bias'})

  @parameterized.named_parameters(
    ('lora', policies.Lora(rank=2), '_lora_'), ('adapter', policies.Adapter(width=4), '_adapter_')
  )
  def test_adapters_and_the_head_are_trained(self, policy, mark):
    model = policy.adapt(_MODEL)
    names = _names(policy, model)
    added = {variable.name for variable in model.variables[len(_MODEL.variables) :]}
    self.assertNotEmpty(added)
    self.assertTrue(all(mark in name for name in added))
    self.assertEqual(names, added | {'head/norm_scale', 'head/norm_bias', 'head/bias'})

  def test_lora_takes_a_pattern(self):
    model = policies.Lora(rank=1, on='query_kernel$').adapt(_MODEL)
    self.assertLen(model.variables, len(_MODEL.variables) + 2 * 3)  # Two factors in each of three blocks.

  def test_static_policies_answer_with_plain_booleans(self):
    for policy in (policies.All(), policies.Suffix(1), policies.Bias(), policies.Head(), policies.Frozen(1)):
      self.assertTrue(all(type(flag) is bool for flag in policy.choose(_MODEL, _seeds())))


class FrozenTest(parameterized.TestCase):
  def test_kernels_of_the_first_blocks(self):
    frozen = policies.Frozen(blocks=1).rebuilt(_MODEL, 0)
    self.assertEqual({name.split('/')[0] for name in frozen}, {'block_0'})
    self.assertEmpty(frozen & _additive())
    self.assertEqual(_names(policies.Frozen(blocks=1)), {v.name for v in _MODEL.variables} - frozen)

  @parameterized.parameters(0.3, 0.6)
  def test_fraction_is_not_exceeded_and_nearly_reached(self, fraction):
    sizes = {v.name: v.size for v in _MODEL.variables if not v.is_additive}
    frozen = policies.Frozen(fraction=fraction).rebuilt(_MODEL, 5)
    share = sum(sizes[name] for name in frozen) / sum(sizes.values())
    self.assertBetween(share, fraction - 0.1, fraction)

  def test_draw_depends_on_the_run_only(self):
    policy = policies.Frozen(fraction=0.5)
    self.assertEqual(policy.rebuilt(_MODEL, 1), policy.rebuilt(_MODEL, 1))
    self.assertNotEqual(policy.rebuilt(_MODEL, 1), policy.rebuilt(_MODEL, 2))

  def test_freezing_nothing_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'would freeze nothing'):
      policies.Frozen(fraction=1e-6).rebuilt(_MODEL, 0)


class RandomTest(parameterized.TestCase):
  def test_additive_variables_are_always_trained(self):
    for key in range(20):
      self.assertContainsSubset(_additive(), _names(policies.Random(fraction=0.3), seeds=_seeds(client_key=key)))

  @parameterized.named_parameters(
    ('transformer', _MODEL),
    ('lstm', lstm.lstm(width=16, num_cells=24)(60)),
    ('more_blocks', transformer.transformer()(99)),
  )
  def test_mean_trained_fraction_is_the_fraction(self, model):
    sizes = tf.constant([variable.size for variable in model.variables], tf.float32)

    @tf.function(autograph=False)
    def trained(key):
      seeds = trainable.Seeds(0, _ROUND_SEED, randomness.client_seed(_ROUND_SEED, key, randomness.Purpose.TRAINABLE))
      flags = [tf.cast(flag, tf.float32) for flag in policies.Random(fraction=0.4).choose(model, seeds)]
      return tf.reduce_sum(tf.stack(flags) * sizes) / model.num_parameters

    fractions = np.array([trained(tf.constant(key, tf.int64)) for key in range(2000)])
    # 2,000 draws of a standard deviation of at most .5: .011 at one standard error.
    self.assertBetween(fractions.mean(), 0.38, 0.42)
    self.assertGreater(fractions.std(), 0.0)

  def test_client_differs_by_client_and_by_round(self):
    policy = policies.Random(fraction=0.5)
    self.assertEqual(_names(policy), _names(policy))
    self.assertNotEqual(_names(policy, seeds=_seeds(client_key=1)), _names(policy, seeds=_seeds(client_key=2)))
    other_round = tf.constant([3, 5], tf.int64)
    self.assertNotEqual(_names(policy), _names(policy, seeds=_seeds(other_round)))

  def test_round_differs_by_round_only(self):
    policy = policies.Random(fraction=0.5, resample='round')
    self.assertEqual(_names(policy, seeds=_seeds(client_key=1)), _names(policy, seeds=_seeds(client_key=2)))
    self.assertNotEqual(_names(policy), _names(policy, seeds=_seeds(tf.constant([3, 5], tf.int64))))

  def test_never_differs_by_run_only_and_is_known_beforehand(self):
    policy = policies.Random(fraction=0.5, resample='never')
    self.assertEqual(_names(policy), _names(policy, seeds=_seeds(tf.constant([3, 5], tf.int64), client_key=9)))
    self.assertNotEqual(_names(policy), _names(policy, seeds=_seeds(run=1)))
    self.assertTrue(all(type(flag) is bool for flag in policy.choose(_MODEL, _seeds())))

  def test_whole_fraction_is_static(self):
    self.assertEqual(policies.Random(fraction=1.0).choose(_MODEL, _seeds()), [True] * len(_MODEL.variables))

  def test_less_than_the_additive_variables_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'fraction=0.01 is not more than the 0.* of additive variables'):
      policies.Random(fraction=0.01).choose(_MODEL, _seeds())


class RefusalsTest(parameterized.TestCase):
  @parameterized.named_parameters(
    ('zero', lambda: policies.Random(fraction=0.0), r'fraction must lie in \(0, 1\], not 0.0'),
    ('above_one', lambda: policies.Random(fraction=1.5), r'fraction must lie in \(0, 1\], not 1.5'),
    ('nan', lambda: policies.Random(fraction=float('nan')), 'fraction must lie in'),
    ('text', lambda: policies.Width(fraction='half'), "fraction must lie in .* not 'half'"),
    ('bool', lambda: policies.Frozen(fraction=True), 'fraction must lie in'),
    ('resample', lambda: policies.Random(0.5, resample='daily'), 'resample must be one of never, round, client'),
    ('denominator', lambda: policies.Random(0.5, denominator='some'), 'denominator must be one of trained, all'),
    ('no_blocks', lambda: policies.Suffix(blocks=0), 'blocks must be a whole number of at least 1, not 0'),
    ('rank', lambda: policies.Lora(rank=0), 'rank must be a whole number'),
    ('width', lambda: policies.Adapter(width=2.5), 'width must be a whole number'),
  )
  def test_at_once(self, build, message):
    with self.assertRaisesRegex(ValueError, message):
      build()

  @parameterized.named_parameters(
    ('more_blocks', policies.Suffix(blocks=4), 'blocks=4, but the model has 3: lower it'),
    ('frozen_blocks', policies.Frozen(blocks=4), 'blocks=4, but the model has 3: lower it'),
  )
  def test_with_the_model(self, policy, message):
    with self.assertRaisesRegex(ValueError, message):
      policy.choose(_MODEL, _seeds())

  def test_policies_that_train_nothing(self):
    variables = (model_lib.Variable('block_0/kernel', (2, 2), model_lib.zeros),)
    model = model_lib.Model(variables, lambda weights, x, seed: x)
    for name, policy in dict(bias=policies.Bias(), head=policies.Head()).items():
      with self.assertRaisesRegex(ValueError, f'{name} would train nothing'):
        policy.choose(model, _seeds())

  @parameterized.named_parameters(
    ('suffix', policies.Suffix(1), 'suffix would train nothing of the head: the model has no block named head'),
    ('layerwise', policies.Layerwise(1), 'layerwise would train nothing of the head'),
    ('lora', policies.Lora(1), 'lora would train nothing of the head'),
    ('adapter', policies.Adapter(1, on='kernel'), 'adapter would train nothing of the head'),
    ('head', policies.Head(), 'head would train nothing of the head: the model has no block named head'),
  )
  def test_a_model_without_a_head(self, policy, message):
    variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in ('embedding/a', 'block_0/kernel'))
    model = policy.adapt(model_lib.Model(variables, lambda weights, x, seed: x))
    with self.assertRaisesRegex(ValueError, message):
      policy.choose(model, _seeds())

  @parameterized.named_parameters(
    ('suffix', policies.Suffix(1)),
    ('layerwise', policies.Layerwise(1)),
    ('lora', policies.Lora(1)),
    ('adapter', policies.Adapter(1, on='kernel')),
    ('head', policies.Head()),
    ('frozen', policies.Frozen(blocks=1)),
  )
  def test_a_model_with_other_blocks(self, policy):
    names = ('embedding/a', 'block_0/kernel', 'lstm/kernel', 'head/kernel')
    variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in names)
    model = policy.adapt(model_lib.Model(variables, lambda weights, x, seed: x))
    with self.assertRaisesRegex(
      ValueError, 'lstm/kernel lies in no block that a policy knows: begin names with embedding/'
    ):
      policy.choose(model, _seeds())

  @parameterized.named_parameters(('suffix', policies.Suffix(1)), ('frozen', policies.Frozen(blocks=1)))
  def test_a_model_without_blocks(self, policy):
    variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in ('embedding/a', 'head/kernel'))
    model = model_lib.Model(variables, lambda weights, x, seed: x)
    with self.assertRaisesRegex(ValueError, 'blocks=1, but the model has no block named block_0: train head or all'):
      policy.choose(model, _seeds())

  def test_width_without_units(self):
    variables = (model_lib.Variable('block_0/kernel', (2, 2), model_lib.zeros),)
    model = model_lib.Model(variables, lambda weights, x, seed: x)
    with self.assertRaisesRegex(ValueError, 'width needs a model whose variables name their units'):
      policies.Width(fraction=0.5).units(model)

  def test_adapters_are_those_of_the_models_package(self):
    expected = adapters.with_lora(_MODEL, 3, 3)
    self.assertEqual(
      [variable.name for variable in policies.Lora(rank=3).adapt(_MODEL).variables],
      [variable.name for variable in expected.variables],
    )
