"""Evaluation adds up what the task measures on every client's examples."""

import numpy as np
import pytest

from optimizers import evaluation
from tests import tiny_task

pytestmark = pytest.mark.usefixtures('worker')


def test_sums_over_clients_and_batches():
  rng = np.random.default_rng(0)
  clients = [(rng.normal(size=[n, 2]), rng.normal(size=n)) for n in (3, 0, 150)]
  w, b = np.array([0.5, -1.0], np.float32), np.float32(0.25)
  measured = evaluation.build_evaluation(tiny_task.linear_task())((w, b), [tiny_task.client(x, y) for x, y in clients])
  assert measured['weight_sum'] == 153
  expected = sum(0.5 * np.square(x @ w + b - y).sum() for x, y in clients)
  np.testing.assert_allclose(measured['loss_sum'], expected, rtol=1e-5)
