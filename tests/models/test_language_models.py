"""The language models have the published sizes and compute what their docstrings say."""

import numpy as np
import pytest
import tensorflow as tf

from models import catalog
from models import language_task
from models import lstm
from models import transformer


def _weights(model, seed=3):
  """Weights without the zeros and ones of a fresh model, so that a forgotten bias shows."""
  rng = np.random.default_rng(seed)
  return {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in model.variables}


def _apply(model, weights, tokens):
  return model.apply({name: tf.constant(w) for name, w in weights.items()}, tf.constant(tokens), None).numpy()


def _sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def _plain_lstm(w, tokens, cells):
  """One CIFG layer with projection, step by step, in float64."""
  w = {name: value.astype(np.float64) for name, value in w.items()}
  x = w['embedding/table'][tokens] * np.sqrt(w['embedding/table'].shape[1])
  r, c = np.zeros_like(x[:, 0]), np.zeros([len(tokens), cells])
  logits = []
  for t in range(tokens.shape[1]):
    z = x[:, t] @ w['block_0/input_kernel'] + r @ w['block_0/recurrent_kernel'] + w['block_0/bias']
    f, o, g = _sigmoid(z[:, :cells]), _sigmoid(z[:, cells : 2 * cells]), np.tanh(z[:, 2 * cells :])
    c = f * c + (1.0 - f) * g
    r = (o * np.tanh(c)) @ w['block_0/projection_kernel'] + w['block_0/projection_bias']
    logits.append(r @ w['embedding/table'].T + w['head/bias'])
  return np.stack(logits, axis=1)


def _plain_norm(x, scale, bias):
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale + bias


def _plain_attention(w, y, heads):
  batch, length, width = y.shape
  q, k, v = (y @ w[f'attention/{n}_kernel'] + w[f'attention/{n}_bias'] for n in ('query', 'key', 'value'))
  out, d = np.zeros_like(y), width // heads
  for b in range(batch):
    for h in range(heads):
      s = slice(h * d, (h + 1) * d)
      for t in range(length):
        scores = k[b, : t + 1, s] @ q[b, t, s] / np.sqrt(d)
        p = np.exp(scores - scores.max())
        out[b, t, s] = (p / p.sum()) @ v[b, : t + 1, s]
  return out @ w['attention/output_kernel'] + w['attention/output_bias']


def _plain_transformer(weights, tokens, layers, heads):
  weights = {name: value.astype(np.float64) for name, value in weights.items()}
  table = weights['embedding/table']
  width = table.shape[1]
  angles = np.arange(tokens.shape[1])[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
  x = table[tokens] * np.sqrt(width) + np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
  for index in range(layers):
    w = {n.split('/', 1)[1]: v for n, v in weights.items() if n.startswith(f'block_{index}/')}
    x = x + _plain_attention(w, _plain_norm(x, w['attention/norm_scale'], w['attention/norm_bias']), heads)
    y = _plain_norm(x, w['mlp/norm_scale'], w['mlp/norm_bias'])
    hidden = np.maximum(y @ w['mlp/up_kernel'] + w['mlp/up_bias'], 0.0)
    x = x + hidden @ w['mlp/down_kernel'] + w['mlp/down_bias']
  return _plain_norm(x, weights['head/norm_scale'], weights['head/norm_bias']) @ table.T + weights['head/bias']


@pytest.mark.parametrize(
  ('build', 'expected'),
  [
    # V E + V + 3 ((E + E) H + H) + H E + E with V = 4000: E = 256, H = 2048 and E = 1024, H = 2048.
    pytest.param(lstm.lstm(size='small'), 4_704_416, id='lstm_small'),
    pytest.param(lstm.lstm(size='large'), 18_787_232, id='lstm_large'),
    # V E + V + 2 E + L (4 (E E + E) + 2 E M + M + E + 4 E): E = 128 and E = 512, M = 2048, L = 6.
    pytest.param(transformer.transformer(size='small'), 4_074_400, id='transformer_small'),
    pytest.param(transformer.transformer(size='large'), 20_967_328, id='transformer_large'),
  ],
)
def test_language_models_has_the_published_number_of_parameters(build, expected):
  assert build(4000).num_parameters == expected


@pytest.mark.parametrize('configure', catalog.LANGUAGE_MODELS.values(), ids=catalog.LANGUAGE_MODELS)
def test_names_are_unique_and_blocks_run_from_embedding_to_head(configure):
  model = configure(num_layers=2)(50)
  names = [variable.name for variable in model.variables]
  assert len(set(names)) == len(names)
  blocks = list(dict.fromkeys(variable.block for variable in model.variables))
  assert blocks == ['embedding', 'block_0', 'block_1', 'head']


def test_lstm_equals_plain_numpy():
  model = lstm.lstm(width=6, num_cells=5)(11)
  weights, tokens = _weights(model), np.random.default_rng(0).integers(0, 11, [3, 7])
  np.testing.assert_allclose(_apply(model, weights, tokens), _plain_lstm(weights, tokens, 5), atol=2e-5)


def test_transformer_equals_plain_numpy():
  model = transformer.transformer(width=8, mlp_width=12, num_layers=2, num_heads=2)(11)
  weights, tokens = _weights(model), np.random.default_rng(0).integers(0, 11, [3, 7])
  np.testing.assert_allclose(_apply(model, weights, tokens), _plain_transformer(weights, tokens, 2, 2), atol=1e-4)


@pytest.mark.parametrize('configure', catalog.LANGUAGE_MODELS.values(), ids=catalog.LANGUAGE_MODELS)
def test_a_position_does_not_see_later_tokens(configure):
  model = configure()(50)
  weights = _weights(model)
  tokens = np.random.default_rng(0).integers(0, 50, [2, 9])
  changed = tokens.copy()
  changed[:, 5:] = (changed[:, 5:] + 1) % 50
  before, after = _apply(model, weights, tokens), _apply(model, weights, changed)
  np.testing.assert_allclose(before[:, :5], after[:, :5], atol=1e-5)
  assert np.abs(before[:, 5:] - after[:, 5:]).max() > 1e-2


@pytest.mark.parametrize('configure', catalog.LANGUAGE_MODELS.values(), ids=catalog.LANGUAGE_MODELS)
def test_initial_weights_depend_on_the_seed_alone(configure):
  model = configure()(50)
  first, again, other = model.initial_weights(1), model.initial_weights(1), model.initial_weights(2)
  for one, two in zip(first, again, strict=True):
    np.testing.assert_array_equal(one, two)
  assert any(np.any(one != two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize('configure', catalog.LANGUAGE_MODELS.values(), ids=catalog.LANGUAGE_MODELS)
def test_dropout_acts_only_with_a_seed(configure):
  plain, dropping = configure()(50), configure(dropout=0.5)(50)
  weights = plain.by_name(plain.initial_weights(0))
  tokens = tf.constant([[1, 2, 3, 4]])
  np.testing.assert_array_equal(plain.apply(weights, tokens, None), dropping.apply(weights, tokens, None))
  seed = tf.constant([1, 2], tf.int64)
  assert np.abs(dropping.apply(weights, tokens, seed) - plain.apply(weights, tokens, seed)).max() > 1e-2


@pytest.mark.parametrize(
  ('configure', 'arguments', 'message'),
  [
    pytest.param(transformer.transformer, dict(size='huge'), 'size', id='unknown_size'),
    pytest.param(transformer.transformer, dict(width=0), 'width', id='zero_width'),
    pytest.param(lstm.lstm, dict(width=2.5), 'width', id='float_width'),
    pytest.param(transformer.transformer, dict(num_heads=3), 'num_heads', id='heads_do_not_divide'),
    pytest.param(lstm.lstm, dict(dropout=1.0), 'dropout', id='dropout_of_one'),
  ],
)
def test_language_models_refuses(configure, arguments, message):
  with pytest.raises(ValueError, match=message):
    configure(**arguments)


def test_padding_counts_for_nothing():
  # Uniform logits over 4 tokens: ln 4 = 1.386294 nats for each of the two targets that are not padding.
  measures = language_task.token_measures(tf.zeros([1, 3, 4]), tf.constant([[2, 1, 0]]))
  assert float(measures['loss_sum']) == pytest.approx(2 * 1.386294, abs=5e-6)
  assert float(measures['weight_sum']) == 2.0


def test_token_measures_counts_right_predictions():
  logits = tf.one_hot([[3, 1, 0]], 4)  # Right, wrong, right but padding.
  assert float(language_task.token_measures(logits, tf.constant([[3, 2, 0]]))['correct_sum']) == 1.0


def test_token_measures_counts_the_same_inside_a_graph_of_tff():
  with tf.Graph().as_default() as graph:
    measures = language_task.token_measures(tf.zeros([1, 3, 4]), tf.constant([[2, 1, 0]]))
  with tf.compat.v1.Session(graph=graph) as session:
    assert session.run(measures['weight_sum']) == 2.0
