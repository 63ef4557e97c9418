"""Draws the next token from what a language model says of each: among all of them or the likeliest, more or less boldly.

    p(token) is proportional to exp(score / temperature)

A token is drawn as the one whose score, with Gumbel noise added, is the highest.
"""

import tensorflow as tf

_GREEDY = 1e-6  # Below it the next best token comes only where scores are equal to the last bits.
_EQUAL = 1e30  # Above it scores no longer tell, and its reciprocal would be 0, of which -inf makes no number.
_SMALLEST = 1e-37  # Of the uniform numbers, whose logarithm is then finite.


def draw(logits: tf.Tensor, seeds: tf.Tensor, temperature: float = 1.0, top_k: int = 0) -> tf.Tensor:
  """Draws a token for each row, which depends on nothing but its scores and its seed.

  Args:
    logits: float32 [n, vocabulary], -inf for a token that must not come; not all of a row.
    seeds: int64 [n, 2].
    temperature: 1 for the model's own probabilities, less for likelier tokens; 0 for the likeliest, the first of several.
    top_k: How many of the likeliest tokens may come, of equal ones the first; 0 for all.

  Returns:
    int32 [n].
  """
  if temperature < _GREEDY:
    return tf.argmax(logits, axis=-1, output_type=tf.int32)
  vocabulary = logits.shape[-1]
  scores, tokens = tf.math.top_k(logits, min(top_k, vocabulary) or vocabulary)
  noise = tf.map_fn(lambda seed: _gumbel(seed, scores.shape[-1]), seeds, fn_output_signature=tf.float32)
  highest = tf.argmax((scores - scores[:, :1]) / min(temperature, _EQUAL) + noise, axis=-1)
  return tf.gather(tokens, highest, batch_dims=1)


def _gumbel(seed: tf.Tensor, size: int) -> tf.Tensor:
  return -tf.math.log(-tf.math.log(tf.random.stateless_uniform([size], seed, minval=_SMALLEST)))
