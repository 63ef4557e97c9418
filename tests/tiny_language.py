"""A language task in memory: a tiny Transformer over 32 sub-words and clients with random tokens."""

import collections

import numpy as np
import tensorflow as tf

from models import language_task
from models import task as task_lib
from models import transformer

VOCABULARY, LENGTH = 32, 6


def task(**dimensions) -> task_lib.Task:
  """Predicts the next token with a Transformer of width 8, whose other dimensions are arguments."""
  dimensions = dict(width=8, mlp_width=64, num_layers=1, num_heads=2) | dimensions
  return language_task.build(transformer.transformer(**dimensions)(VOCABULARY), LENGTH)


def client(client_key: int, num_examples: int = 5, low: int = 4, high: int = VOCABULARY) -> tf.data.Dataset:
  """A client's examples, unbatched: begin, then tokens drawn from [low, high)."""
  tokens = np.random.default_rng(client_key).integers(low, high, [num_examples, LENGTH + 1])
  tokens[:, 0] = 1
  return of_tokens(tokens, client_key)


def of_tokens(tokens, client_key: int = 1) -> tf.data.Dataset:
  """A client with the given tokens [n, LENGTH + 1]."""
  tokens = np.asarray(tokens, np.int32).reshape([-1, LENGTH + 1])
  keys = np.full([len(tokens)], client_key, np.int64)
  return tf.data.Dataset.from_tensor_slices(collections.OrderedDict(tokens=tokens, client_key=keys))
