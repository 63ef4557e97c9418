"""Federated averaging in plain NumPy, as the papers write it: the oracle of the tests and a text to read first."""

import numpy as np


def gradient(w, b, x, y):
  """The gradient of half the mean squared error of x w + b."""
  residual = x @ w + b - y
  return x.T @ residual / len(y), residual.mean()


def local_sgd(w, b, batches, learning_rate, clip_norm):
  """One client's local steps."""
  for x, y in batches:
    gw, gb = gradient(w, b, x, y)
    norm = np.sqrt((gw**2).sum() + gb**2)
    scale = min(1.0, clip_norm / norm) if norm else 1.0
    w, b = w - learning_rate * scale * gw, b - learning_rate * scale * gb
  return w, b


def mean_update(w, b, clients, learning_rate, clip_norm=np.inf):
  """The example-weighted mean of (received - trained) over clients, each a list of (x, y) batches."""
  total, dw, db = 0.0, np.zeros_like(w), 0.0
  for batches in clients:
    n = sum(len(y) for _, y in batches)
    trained_w, trained_b = local_sgd(w, b, batches, learning_rate, clip_norm)
    total, dw, db = total + n, dw + n * (w - trained_w), db + n * (b - trained_b)
  return (dw / total, db / total) if total else (dw, db)


class Adam:
  """Adam without bias correction as in Reddi et al. 2020, or with it as in Kingma and Ba 2014."""

  def __init__(self, learning_rate, beta_1, beta_2, epsilon):
    self.learning_rate, self.beta_1, self.beta_2, self.epsilon = learning_rate, beta_1, beta_2, epsilon
    self.m = self.v = self.step = 0

  def __call__(self, value, update):
    """Returns the new value after a step against `update`, with bias correction."""
    self.step += 1
    self.m = self.beta_1 * self.m + (1 - self.beta_1) * update
    self.v = self.beta_2 * self.v + (1 - self.beta_2) * update**2
    rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.step) / (1 - self.beta_1**self.step)
    return value - rate * self.m / (np.sqrt(self.v) + self.epsilon)
