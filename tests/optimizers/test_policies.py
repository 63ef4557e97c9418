"""Policies choose what they say, by name, by block and by draw, and refuse what makes no sense."""

import numpy as np
import pytest
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


def test_static_policies_all():
  assert len(_names(policies.All())) == len(_MODEL.variables)


def test_suffix_is_the_last_blocks_and_the_head():
  blocks = {name.split('/')[0] for name in _names(policies.Suffix(blocks=2))}
  assert blocks == {'block_1', 'block_2', 'head'}


def test_suffix_of_all_blocks_leaves_the_embedding():
  assert {v.name for v in _MODEL.variables} - _names(policies.Suffix(blocks=3)) == {'embedding/table'}


def test_a_stage_trains_the_newest_blocks_and_clients_have_kept_the_rest():
  policy = policies.Layerwise(blocks=1)
  assert {name.split('/')[0] for name in _names(policy)} == {'block_2', 'head'}
  assert {name.split('/')[0] for name in policy.kept(_MODEL)} == {'embedding', 'block_0', 'block_1'}


def test_a_stage_of_all_blocks_trains_the_embedding_too():
  policy = policies.Layerwise(blocks=3)
  assert len(_names(policy)) == len(_MODEL.variables)
  assert len(policy.kept(_MODEL)) == 0


def test_bias_is_every_additive_variable_and_nothing_else():
  assert _names(policies.Bias()) == _additive()


def test_static_policies_head():
  assert _names(policies.Head()) == {'head/norm_scale', 'head/norm_bias', 'head/bias'}


@pytest.mark.parametrize(
  ('policy', 'mark'),
  [
    pytest.param(policies.Lora(rank=2), '_lora_', id='lora'),
    pytest.param(policies.Adapter(width=4), '_adapter_', id='adapter'),
  ],
)
def test_adapters_and_the_head_are_trained(policy, mark):
  model = policy.adapt(_MODEL)
  names = _names(policy, model)
  added = {variable.name for variable in model.variables[len(_MODEL.variables) :]}
  assert added
  assert all(mark in name for name in added)
  assert names == added | {'head/norm_scale', 'head/norm_bias', 'head/bias'}


def test_lora_takes_a_pattern():
  model = policies.Lora(rank=1, on='query_kernel$').adapt(_MODEL)
  assert len(model.variables) == len(_MODEL.variables) + 2 * 3  # Two factors in each of three blocks.


def test_static_policies_answer_with_plain_booleans():
  for policy in (policies.All(), policies.Suffix(1), policies.Bias(), policies.Head(), policies.Frozen(1)):
    assert all(type(flag) is bool for flag in policy.choose(_MODEL, _seeds()))


def test_kernels_of_the_first_blocks():
  frozen = policies.Frozen(blocks=1).rebuilt(_MODEL, 0)
  assert {name.split('/')[0] for name in frozen} == {'block_0'}
  assert not frozen & _additive()
  assert _names(policies.Frozen(blocks=1)) == {v.name for v in _MODEL.variables} - frozen


@pytest.mark.parametrize('fraction', [0.3, 0.6])
def test_fraction_is_not_exceeded_and_nearly_reached(fraction):
  sizes = {v.name: v.size for v in _MODEL.variables if not v.is_additive}
  frozen = policies.Frozen(fraction=fraction).rebuilt(_MODEL, 5)
  share = sum(sizes[name] for name in frozen) / sum(sizes.values())
  assert fraction - 0.1 <= share <= fraction


def test_draw_depends_on_the_run_only():
  policy = policies.Frozen(fraction=0.5)
  assert policy.rebuilt(_MODEL, 1) == policy.rebuilt(_MODEL, 1)
  assert policy.rebuilt(_MODEL, 1) != policy.rebuilt(_MODEL, 2)


def test_freezing_nothing_is_refused():
  with pytest.raises(ValueError, match='would freeze nothing'):
    policies.Frozen(fraction=1e-6).rebuilt(_MODEL, 0)


def test_additive_variables_are_always_trained():
  for key in range(20):
    assert set(_additive()) <= set(_names(policies.Random(fraction=0.3), seeds=_seeds(client_key=key)))


@pytest.mark.parametrize(
  'model',
  [
    pytest.param(_MODEL, id='transformer'),
    pytest.param(lstm.lstm(width=16, num_cells=24)(60), id='lstm'),
    pytest.param(transformer.transformer()(99), id='more_blocks'),
  ],
)
def test_mean_trained_fraction_is_the_fraction(model):
  sizes = tf.constant([variable.size for variable in model.variables], tf.float32)

  @tf.function(autograph=False)
  def trained(key):
    seeds = trainable.Seeds(0, _ROUND_SEED, randomness.client_seed(_ROUND_SEED, key, randomness.Purpose.TRAINABLE))
    flags = [tf.cast(flag, tf.float32) for flag in policies.Random(fraction=0.4).choose(model, seeds)]
    return tf.reduce_sum(tf.stack(flags) * sizes) / model.num_parameters

  fractions = np.array([trained(tf.constant(key, tf.int64)) for key in range(2000)])
  # 2,000 draws of a standard deviation of at most .5: .011 at one standard error.
  assert 0.38 <= fractions.mean() <= 0.42
  assert fractions.std() > 0.0


def test_client_differs_by_client_and_by_round():
  policy = policies.Random(fraction=0.5)
  assert _names(policy) == _names(policy)
  assert _names(policy, seeds=_seeds(client_key=1)) != _names(policy, seeds=_seeds(client_key=2))
  other_round = tf.constant([3, 5], tf.int64)
  assert _names(policy) != _names(policy, seeds=_seeds(other_round))


def test_round_differs_by_round_only():
  policy = policies.Random(fraction=0.5, resample='round')
  assert _names(policy, seeds=_seeds(client_key=1)) == _names(policy, seeds=_seeds(client_key=2))
  assert _names(policy) != _names(policy, seeds=_seeds(tf.constant([3, 5], tf.int64)))


def test_never_differs_by_run_only_and_is_known_beforehand():
  policy = policies.Random(fraction=0.5, resample='never')
  assert _names(policy) == _names(policy, seeds=_seeds(tf.constant([3, 5], tf.int64), client_key=9))
  assert _names(policy) != _names(policy, seeds=_seeds(run=1))
  assert all(type(flag) is bool for flag in policy.choose(_MODEL, _seeds()))


def test_whole_fraction_is_static():
  assert policies.Random(fraction=1.0).choose(_MODEL, _seeds()) == [True] * len(_MODEL.variables)


def test_less_than_the_additive_variables_is_refused():
  with pytest.raises(ValueError, match=r'fraction=0.01 is not more than the 0.* of additive variables'):
    policies.Random(fraction=0.01).choose(_MODEL, _seeds())


@pytest.mark.parametrize(
  ('build', 'message'),
  [
    pytest.param(lambda: policies.Random(fraction=0.0), r'fraction must lie in \(0, 1\], not 0.0', id='zero'),
    pytest.param(lambda: policies.Random(fraction=1.5), r'fraction must lie in \(0, 1\], not 1.5', id='above_one'),
    pytest.param(lambda: policies.Random(fraction=float('nan')), 'fraction must lie in', id='nan'),
    pytest.param(lambda: policies.Width(fraction='half'), "fraction must lie in .* not 'half'", id='text'),
    pytest.param(lambda: policies.Frozen(fraction=True), 'fraction must lie in', id='bool'),
    pytest.param(
      lambda: policies.Random(0.5, resample='daily'), 'resample must be one of never, round, client', id='resample'
    ),
    pytest.param(
      lambda: policies.Random(0.5, denominator='some'), 'denominator must be one of trained, all', id='denominator'
    ),
    pytest.param(
      lambda: policies.Suffix(blocks=0), 'blocks must be a whole number of at least 1, not 0', id='no_blocks'
    ),
    pytest.param(lambda: policies.Lora(rank=0), 'rank must be a whole number', id='rank'),
    pytest.param(lambda: policies.Adapter(width=2.5), 'width must be a whole number', id='width'),
    pytest.param(lambda: policies.Lora(2, alpha='x'), 'alpha must be a positive number', id='alpha'),
    pytest.param(lambda: policies.Lora(2, alpha=float('inf')), 'alpha must be a positive number', id='infinite'),
    pytest.param(lambda: policies.Lora(10**8), 'rank must be a whole number from 1 to 65,536', id='large'),
    pytest.param(lambda: policies.Lora(2, on=5), 'on must be a regular expression, not 5', id='on'),
    pytest.param(lambda: policies.Adapter(2, on='('), 'on must be a regular expression', id='open'),
    pytest.param(lambda: policies.Width(0.5, rolling='x'), 'rolling must be one of True, False', id='rolling'),
  ],
)
def test_refuses_at_once(build, message):
  with pytest.raises(ValueError, match=message):
    build()


@pytest.mark.parametrize(
  ('policy', 'message'),
  [
    pytest.param(policies.Suffix(blocks=4), 'blocks=4, but the model has 3: lower it', id='more_blocks'),
    pytest.param(policies.Frozen(blocks=4), 'blocks=4, but the model has 3: lower it', id='frozen_blocks'),
  ],
)
def test_refuses_with_the_model(policy, message):
  with pytest.raises(ValueError, match=message):
    policy.choose(_MODEL, _seeds())


def test_refuses_policies_that_train_nothing():
  variables = (model_lib.Variable('block_0/kernel', (2, 2), model_lib.zeros),)
  model = model_lib.Model(variables, lambda weights, x, seed: x)
  for name, policy in dict(bias=policies.Bias(), head=policies.Head()).items():
    with pytest.raises(ValueError, match=f'{name} would train nothing'):
      policy.choose(model, _seeds())


@pytest.mark.parametrize(
  ('policy', 'message'),
  [
    pytest.param(
      policies.Suffix(1), 'suffix would train nothing of the head: the model has no block named head', id='suffix'
    ),
    pytest.param(policies.Layerwise(1), 'layerwise would train nothing of the head', id='layerwise'),
    pytest.param(policies.Lora(1), 'lora would train nothing of the head', id='lora'),
    pytest.param(policies.Adapter(1, on='kernel'), 'adapter would train nothing of the head', id='adapter'),
    pytest.param(policies.Head(), 'head would train nothing of the head: the model has no block named head', id='head'),
  ],
)
def test_refuses_a_model_without_a_head(policy, message):
  variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in ('embedding/a', 'block_0/kernel'))
  model = policy.adapt(model_lib.Model(variables, lambda weights, x, seed: x))
  with pytest.raises(ValueError, match=message):
    policy.choose(model, _seeds())


@pytest.mark.parametrize(
  'policy',
  [
    pytest.param(policies.Suffix(1), id='suffix'),
    pytest.param(policies.Layerwise(1), id='layerwise'),
    pytest.param(policies.Lora(1), id='lora'),
    pytest.param(policies.Adapter(1, on='kernel'), id='adapter'),
    pytest.param(policies.Head(), id='head'),
    pytest.param(policies.Frozen(blocks=1), id='frozen'),
  ],
)
def test_refuses_a_model_with_other_blocks(policy):
  names = ('embedding/a', 'block_0/kernel', 'lstm/kernel', 'head/kernel')
  variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in names)
  model = policy.adapt(model_lib.Model(variables, lambda weights, x, seed: x))
  with pytest.raises(ValueError, match='lstm/kernel lies in no block that a policy knows: begin names with embedding/'):
    policy.choose(model, _seeds())


@pytest.mark.parametrize(
  'policy', [pytest.param(policies.Suffix(1), id='suffix'), pytest.param(policies.Frozen(blocks=1), id='frozen')]
)
def test_refuses_a_model_without_blocks(policy):
  variables = tuple(model_lib.Variable(name, (2, 2), model_lib.zeros) for name in ('embedding/a', 'head/kernel'))
  model = model_lib.Model(variables, lambda weights, x, seed: x)
  with pytest.raises(ValueError, match='blocks=1, but the model has no block named block_0: train head or all'):
    policy.choose(model, _seeds())


def test_refuses_width_without_units():
  variables = (model_lib.Variable('block_0/kernel', (2, 2), model_lib.zeros),)
  model = model_lib.Model(variables, lambda weights, x, seed: x)
  with pytest.raises(ValueError, match='width needs a model whose variables name their units'):
    policies.Width(fraction=0.5).units(model)


def test_adapters_are_those_of_the_models_package():
  expected = adapters.with_lora(_MODEL, 3, 3)
  assert [variable.name for variable in policies.Lora(rank=3).adapt(_MODEL).variables] == [
    variable.name for variable in expected.variables
  ]
