"""A few examples with labels, as many of each class as of any other: what learning without labels is for."""

import numpy as np

from experiments.central import training
from experiments.command import failures


def check(num_examples: int, num_classes: int, num_training: int) -> None:
  """Raises `UsageError` unless so many training examples, 0 for all, can be drawn, of each class one at least."""
  if num_examples and not num_classes <= num_examples <= num_training:
    raise failures.UsageError(
      f'--probe_examples={num_examples} must be 0, for all, or from {num_classes}, the number of classes, to '
      f'{num_training}, that of training examples'
    )


def of(examples: training.Examples, num_examples: int, seed: int) -> training.Examples:
  """Returns examples of which so many of those to train on, 0 for all, are left; see `drawn`."""
  if not num_examples:
    return examples
  places = drawn(examples.training['label'], num_examples, seed)
  return examples._replace(training={name: values[places] for name, values in examples.training.items()})


def drawn(labels: np.ndarray, num_examples: int, seed: int) -> np.ndarray:
  """Draws examples from the classes by turns, as long as a class has any left.

  Args:
    labels: int32 [n], the classes of all examples.
    num_examples: How many to draw, n at most.
    seed: Decides which, and which classes have one more if they do not come out even.

  Returns:
    int64 [num_examples], places in `labels`; a larger draw of the same seed begins with them.
  """
  order = np.random.default_rng(seed).permutation(len(labels))
  shuffled, turns = labels[order], np.zeros(len(labels), np.int64)
  for label in np.unique(labels):
    turns[shuffled == label] = np.arange(np.count_nonzero(shuffled == label))
  return order[np.argsort(turns, kind='stable')[:num_examples]]
