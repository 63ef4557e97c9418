"""A Conformer of one block in plain NumPy, in float64."""

import numpy as np


def _sigmoid(x):
  return 1.0 / (1.0 + np.exp(-x))


def _norm(w, name, x):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * w[f'{name}_scale'] + w[f'{name}_bias']


def _dense(w, name, x):
  return x @ w[f'{name}_kernel'] + w[f'{name}_bias']


def _mlp(w, name, x):
  hidden = _dense(w, f'{name}/up', _norm(w, f'{name}/norm', x))
  return _dense(w, f'{name}/down', hidden * _sigmoid(hidden))


def _attention(w, x, heads):
  y = _norm(w, 'attention/norm', x)
  query, key, value = (np.stack(np.split(_dense(w, f'attention/{n}', y), heads, -1)) for n in ('query', 'key', 'value'))
  scores = np.exp(query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])) * np.tri(x.shape[1])
  mixed = (scores / scores.sum(-1, keepdims=True)) @ value
  return _dense(w, 'attention/output', np.concatenate(list(mixed), -1))


def _convolution(w, x):
  values, gates = np.split(_dense(w, 'convolution/gate', _norm(w, 'convolution/norm', x)), 2, -1)
  gated, taps = values * _sigmoid(gates), w['convolution/depthwise_filter']
  y = np.zeros_like(x)
  for t in range(x.shape[1]):
    for lag in range(min(t + 1, len(taps))):
      y[:, t] += gated[:, t - lag] * taps[len(taps) - 1 - lag]
  y = _norm(w, 'convolution/inner_norm', y + w['convolution/depthwise_bias'])
  return _dense(w, 'convolution/projection', y * _sigmoid(y))


def logits(w, tokens, heads):
  """Logits [batch, length, vocabulary] of a model of one block with these weights by name."""
  w = {name.removeprefix('block_0/'): value.numpy().astype(np.float64) for name, value in w.items()}
  table = w['embedding/table']
  width = table.shape[1]
  angles = np.arange(tokens.shape[1])[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)
  x = table[tokens] * np.sqrt(width) + np.concatenate([np.sin(angles), np.cos(angles)], -1)
  x = x + 0.5 * _mlp(w, 'first_mlp', x)
  x = x + _attention(w, x, heads)
  x = x + _convolution(w, x)
  x = x + 0.5 * _mlp(w, 'last_mlp', x)
  return _norm(w, 'norm', x) @ table.T + w['head/bias']
