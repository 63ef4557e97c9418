"""Tokens come as often as softmax says, worked out apart from TensorFlow, and a draw depends on its row alone."""

import numpy as np
import pytest
import tensorflow as tf

from models import token_sampling

_LOGITS = np.array([2.0, -1.0, 0.5, 0.5, -np.inf, 1.0, -3.0], np.float32)
_DRAWS = 20_000


def _drawn(logits: np.ndarray, num_draws: int = _DRAWS, **options) -> np.ndarray:
  """Draws from the same scores with other seeds."""
  rows = tf.constant(np.tile(logits, [num_draws, 1]))
  seeds = tf.constant([[7, number] for number in range(num_draws)], tf.int64)
  return tf.function(lambda: token_sampling.draw(rows, seeds, **options), autograph=False)().numpy()


def _expected(logits: np.ndarray, temperature: float, top_k: int) -> np.ndarray:
  """The probabilities: of those that stay, the first of equal ones, the softmax at this temperature."""
  order = sorted(range(len(logits)), key=lambda token: -logits[token])  # Stable.
  weights = np.zeros([len(logits)])
  for token in order[: top_k or None]:
    weights[token] = np.exp(np.float64(logits[token]) / temperature)
  return weights / weights.sum()


@pytest.mark.parametrize(
  ('temperature', 'top_k'), [(1.0, 0), (0.5, 0), (3.0, 0), (1.0, 3), (2.0, 4), (1.0, 100), (0.7, 1)]
)
def test_tokens_come_as_often_as_softmax_says(temperature, top_k):
  counts = np.bincount(_drawn(_LOGITS, temperature=temperature, top_k=top_k), minlength=len(_LOGITS))
  expected = _DRAWS * _expected(_LOGITS, temperature, top_k)
  assert (counts[expected == 0] == 0).all()
  possible = expected > 0
  statistic = np.sum((counts - expected)[possible] ** 2 / expected[possible])
  # With five degrees of freedom or fewer, one true hypothesis in a thousand has more than 20.5.
  assert statistic < 20.5, counts


def test_a_wrong_temperature_would_be_found():
  counts = np.bincount(_drawn(_LOGITS, temperature=0.9), minlength=len(_LOGITS))
  expected = _DRAWS * _expected(_LOGITS, 1.0, 0)
  possible = expected > 0
  assert np.sum((counts - expected)[possible] ** 2 / expected[possible]) > 20.5


@pytest.mark.parametrize('temperature', [0.0, 1e-9, 1e-5])
def test_the_likeliest_comes_without_temperature(temperature):
  assert set(_drawn(_LOGITS, 100, temperature=temperature)) == {0}
  logits = np.array([-np.inf, 5.0, 5.0 - 1e-3, -1e30], np.float32)
  assert set(_drawn(logits, 100, temperature=temperature)) == {1}


def test_of_equal_scores_the_first_ones_stay():
  assert set(_drawn(np.zeros([5], np.float32), 300, top_k=2)) == {0, 1}
  assert set(_drawn(np.zeros([5], np.float32), 3, temperature=0.0)) == {0}


def test_a_draw_depends_on_its_row_alone():
  many = _drawn(_LOGITS, 50)
  np.testing.assert_array_equal(many[:7], _drawn(_LOGITS, 7))
  assert len(set(many)) > 2
  logits = tf.constant(np.stack([_LOGITS, np.roll(_LOGITS, 1)]))
  drawn = token_sampling.draw(logits, tf.constant([[1, 2], [1, 2]], tf.int64)).numpy()
  assert drawn.dtype == np.int32 and drawn[1] == drawn[0] + 1


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('temperature', [1e38, 1e39, 1e300])
def test_whatever_the_temperature_what_must_not_come_does_not(temperature):
  assert set(_drawn(_LOGITS, 300, temperature=temperature)) == {0, 1, 2, 3, 5, 6}
  assert set(_drawn(_LOGITS, 300, temperature=temperature, top_k=2)) == {0, 5}
