"""The encoders have the published sizes, hide padding, share what they should, and differentiate like any model.

That they compute what the published ones do is in test_hugging_face.py.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import accounting
from models import bert
from models import catalog
from models import classification_task
from models import gradients as gradients_lib

_TINY = dict(width=8, mlp_width=12, num_layers=3, num_heads=2, max_length=9)
_ENCODERS = [pytest.param(configure(**_TINY), id=name) for name, configure in catalog.ENCODERS.items()]
_VOCABULARY, _CLASSES = 17, 3
_TOKENS = np.array([[2, 5, 9, 3, 0, 0], [2, 8, 3, 0, 0, 0], [2, 4, 4, 16, 11, 3]], np.int32)
_SEED = tf.constant([3, 4], tf.int64)


def _weights(model, seed=3):
  """Weights without the zeros and ones of a fresh model, so that a forgotten bias shows."""
  rng = np.random.default_rng(seed)
  means = [1.0 if variable.name.endswith('scale') else 0.0 for variable in model.variables]
  return tuple(
    tf.constant(rng.normal(mean, 0.4, variable.shape), tf.float32)
    for mean, variable in zip(means, model.variables, strict=True)
  )


def _logits(model, tokens, seed=None):
  return model.apply(model.by_name(_weights(model)), tf.constant(tokens), seed).numpy()


def _batch():
  return dict(tokens=tf.constant(_TOKENS), label=tf.constant([0, 2, 1]), client_key=tf.zeros([3], tf.int64))


@pytest.mark.parametrize(
  ('configure', 'vocabulary_size', 'expected'),
  [
    # A layer: 4 (768 768 + 768) + (768 3072 + 3072) + (3072 768 + 768) + 2 (768 + 768) = 7,087,872.
    # (28,996 + 512 + 2) 768 + 1,536 = 22,665,216; 12 layers: 85,054,464; pooler 768 768 + 768 = 590,592.
    pytest.param(bert.bert, 28_996, 108_310_272, id='bert'),
    # (30,000 + 512 + 2) 128 + 256 = 3,906,048; 128 768 + 768 = 99,072; one layer; pooler 590,592.
    pytest.param(bert.albert, 30_000, 11_683_584, id='albert'),
    # (28,996 + 512) 768 + 1,536 = 22,663,680; 6 layers: 42,527,232.
    pytest.param(bert.distilbert, 28_996, 65_190_912, id='distilbert'),
  ],
)
def test_size_has_the_published_number_of_parameters(configure, vocabulary_size, expected):
  model = configure(size='base').classifier(vocabulary_size, 2)
  new = ('head/classifier', 'head/pooler') if configure is bert.distilbert else ('head/classifier',)
  sizes = {variable.name: variable.size for variable in model.variables}
  assert sum(size for name, size in sizes.items() if not name.startswith(new)) == expected
  assert sizes['head/classifier_kernel'] + sizes['head/classifier_bias'] == 1_538  # 768 2 + 2
  assert sizes['head/pooler_kernel'] + sizes['head/pooler_bias'] == 590_592


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_blocks_run_from_embedding_to_head(encoder):
  for model in (encoder.classifier(_VOCABULARY, _CLASSES), encoder.masked_language_model(_VOCABULARY)):
    names = [variable.name for variable in model.variables]
    assert len(set(names)) == len(names)
    blocks = list(dict.fromkeys(variable.block for variable in model.variables))
    layers = ['block_0'] if encoder.family.name == 'albert' else ['block_0', 'block_1', 'block_2']
    assert blocks == ['embedding', *layers, 'head']


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_both_models_differ_in_the_head_alone(encoder):
  backbones = [
    [(v.name, v.shape, v.units) for v in model.variables if v.block != 'head']
    for model in (encoder.classifier(_VOCABULARY, _CLASSES), encoder.masked_language_model(_VOCABULARY))
  ]
  assert backbones[0] == backbones[1]


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_kernels_begin_with_a_standard_deviation_of_a_fiftieth(encoder):
  model = encoder.classifier(4000, _CLASSES)
  weights = model.by_name(model.initial_weights(0))
  assert float(np.std(weights['embedding/table'])) == pytest.approx(0.02, abs=5e-4)
  assert float(tf.reduce_max(tf.abs(weights['head/pooler_kernel']))) < 0.1
  np.testing.assert_array_equal(weights['head/classifier_bias'], np.zeros([_CLASSES]))


@pytest.mark.parametrize(
  ('configure', 'arguments', 'message'),
  [
    pytest.param(bert.bert, dict(size='large'), 'size', id='unknown_size'),
    pytest.param(bert.albert, dict(num_layers=0), 'num_layers', id='zero_layers'),
    pytest.param(bert.distilbert, dict(num_heads=3), 'num_heads', id='heads_do_not_divide'),
    pytest.param(bert.bert, dict(dropout=1.0), 'dropout', id='dropout_of_one'),
    pytest.param(bert.albert, dict(embedding_width=-1), 'embedding_width', id='embedding_width'),
  ],
)
def test_size_refuses(configure, arguments, message):
  with pytest.raises(ValueError, match=message):
    configure(**arguments)


def test_size_refuses_sequences_beyond_the_last_position():
  model = bert.bert(**_TINY).classifier(_VOCABULARY, _CLASSES)
  assert _logits(model, np.ones([1, 9], np.int32)).shape == (1, 3)
  with pytest.raises(ValueError, match='10 tokens, but the model has 9 positions'):
    _logits(model, np.ones([1, 10], np.int32))


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_padding_changes_nothing_unless_it_is_attended_to(encoder):
  longer = np.pad(_TOKENS, [[0, 0], [0, 3]])
  masked = encoder.classifier(_VOCABULARY, _CLASSES)
  np.testing.assert_allclose(_logits(masked, longer), _logits(masked, _TOKENS), atol=1e-5)
  seen = catalog.ENCODERS[encoder.family.name](**_TINY, attention_mask=False).classifier(_VOCABULARY, _CLASSES)
  assert np.abs(_logits(seen, longer) - _logits(seen, _TOKENS)).max() > 1e-3


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_the_first_token_sees_the_last_one(encoder):
  model = encoder.classifier(_VOCABULARY, _CLASSES)
  changed = _TOKENS.copy()
  changed[2, 5] = 7
  difference = np.abs(_logits(model, changed) - _logits(model, _TOKENS)).max(axis=-1)
  assert list(difference > 1e-3) == [False, False, True]


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_every_layer_counts(encoder):
  outputs = [
    _logits(catalog.ENCODERS[encoder.family.name](**(_TINY | dict(num_layers=layers))).classifier(17, 3), _TOKENS)
    for layers in (2, 3)
  ]
  assert np.abs(outputs[0] - outputs[1]).max() > 1e-2


def test_layers_of_one_block_add_no_variables():
  shapes = [
    [(v.name, v.shape) for v in bert.albert(num_layers=layers).classifier(_VOCABULARY, 2).variables]
    for layers in (1, 7)
  ]
  assert shapes[0] == shapes[1]


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_dropout_acts_only_with_a_seed_and_depends_on_it(encoder):
  model = encoder.classifier(_VOCABULARY, _CLASSES)
  dropless = catalog.ENCODERS[encoder.family.name](**_TINY, dropout=0.0).classifier(_VOCABULARY, _CLASSES)
  plain = _logits(model, _TOKENS)
  np.testing.assert_array_equal(_logits(dropless, _TOKENS, _SEED), plain)
  np.testing.assert_array_equal(_logits(model, _TOKENS, _SEED), _logits(model, _TOKENS, _SEED))
  assert np.abs(_logits(model, _TOKENS, _SEED) - plain).max() > 1e-2
  assert np.abs(_logits(model, _TOKENS, _SEED) - _logits(model, _TOKENS, _SEED + 1)).max() > 1e-2


@pytest.mark.parametrize('encoder', [each for each in _ENCODERS if each.id != 'albert'])
def test_an_encoder_of_fewer_layers_is_the_beginning_of_a_deeper_one(encoder):
  deep, shallow = encoder, dataclasses.replace(encoder, num_layers=2)
  models = [each.masked_language_model(_VOCABULARY) for each in (deep, shallow)]
  shapes = [{variable.name: variable.shape for variable in model.variables} for model in models]
  dropped = {name for name in shapes[0] if name.startswith('block_2/')}
  assert shapes[1] == {name: shape for name, shape in shapes[0].items() if name not in dropped}
  weights = models[0].by_name(_weights(models[0]))
  # The last layer passes on what it receives: it adds nothing, and normalizes what is normalized.
  for name in dropped:
    weights[name] = tf.ones_like(weights[name]) if name.endswith('norm_scale') else tf.zeros_like(weights[name])
  for name in ('block_1/mlp/norm_scale', 'block_1/mlp/norm_bias'):
    weights[name] = tf.ones_like(weights[name]) if name.endswith('scale') else tf.zeros_like(weights[name])
  found = [model.apply(weights, tf.constant(_TOKENS), None) for model in models]
  np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_features_are_the_mean_over_what_is_not_padding(encoder):
  model = encoder.classifier(_VOCABULARY, _CLASSES)
  weights = model.by_name(_weights(model))
  features = encoder.features(weights, tf.constant(_TOKENS), None).numpy()
  # The texts have 4, 3 and 6 tokens; alone, without padding, a text has the same features.
  for row, length in enumerate((4, 3, 6)):
    states = encoder.hidden_states(weights, tf.constant(_TOKENS[row : row + 1, :length]), None).numpy()
    np.testing.assert_allclose(features[row], states[0].sum(axis=0) / length, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_gradients_equal_a_plain_tape(encoder):
  model = encoder.classifier(_VOCABULARY, _CLASSES)
  task, weights = classification_task.build(model, 6), _weights(model)
  with tf.GradientTape() as tape:
    tape.watch(weights)
    measures = task.evaluate(weights, _batch(), _SEED)
    loss = measures['loss_sum'] / measures['weight_sum']
  expected = tape.gradient(loss, weights)
  _, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), _batch(), _SEED)
  for variable, gradient, plain in zip(model.variables, gradients, expected, strict=True):
    np.testing.assert_allclose(gradient, tf.convert_to_tensor(plain), rtol=1e-3, atol=2e-5, err_msg=variable.name)
    assert np.any(gradient), variable.name


@pytest.mark.parametrize('encoder', _ENCODERS)
def test_a_head_alone_costs_no_backward_pass_of_the_layers(encoder):
  model = encoder.classifier(_VOCABULARY, _CLASSES)
  task = classification_task.build(model, 6)
  everything = accounting.step_cost(task, [True] * len(model.variables), 4)
  head = accounting.step_cost(task, [variable.block == 'head' for variable in model.variables], 4)
  assert head.forward_flops == everything.forward_flops
  # Two products of 4 examples, 8 x 8 and 8 x 3: weight gradients of both, the gradient of what lies between.
  assert head.backward_flops == 2 * 4 * 8 * 8 + 2 * (2 * 4 * 8 * 3)
  assert head.activation_bytes < everything.activation_bytes / 10
