"""The baselines of text classification, on texts of which one can say what must come out."""

import numpy as np

from data import text_baselines


def test_the_largest_class_is_that_of_the_training_labels():
  assert text_baselines.largest_class(np.array([2, 1, 2]), np.array([1, 1, 2, 0])) == 0.25


def test_classes_that_a_token_tells_apart_are_learned():
  generator = np.random.default_rng(0)
  labels = generator.integers(0, 3, 60)
  tokens = generator.integers(10, 15, [60, 8])
  tokens[np.arange(60), generator.integers(0, 8, 60)] = 3 + labels  # One word says it, wherever it stands.
  found = text_baselines.bag_of_tokens(tokens[:40], labels[:40], tokens[40:], labels[40:])
  assert found == 1.0
  assert text_baselines.bag_of_tokens(tokens[:40], labels[:40], tokens[40:], (labels[40:] + 1) % 3) == 0.0


def test_order_and_padding_do_not_count():
  tokens = np.array([[3, 4, 0], [4, 3, 3], [5, 6, 0], [6, 5, 5]])
  labels = np.array([0, 0, 1, 1])
  found = text_baselines.bag_of_tokens(tokens, labels, np.array([[4, 3, 0, 0, 0], [0, 0, 0, 6, 5]]), np.array([0, 1]))
  assert found == 1.0


def test_one_class_is_no_problem():
  assert text_baselines.bag_of_tokens(np.array([[3]]), np.array([1]), np.array([[3], [4]]), np.array([1, 0])) == 0.5
