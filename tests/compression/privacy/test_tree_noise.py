"""Noise of tree aggregation: least squares, hand-typed variances, the worst clients, restarts, resumption and graphs."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_privacy.privacy.analysis import tree_aggregation_accountant

from compression.privacy import noise as noise_lib
from compression.privacy import tree_noise

_SEED = tf.constant([3, 7], tf.int64)
_SPECS = (tf.TensorSpec([3]), tf.TensorSpec([]), tf.TensorSpec([2, 2]))


def _number(number):
  return tf.constant(number, tf.int64)


def _increments(tree, rounds, specs, state=None, first=1):
  """What rounds add, an array [rounds, *shape] for each spec, and the state they leave."""
  state = tree.initial_state(specs) if state is None else state
  found = []
  for round_number in range(first, rounds + 1):
    increment, state = tree.next(state, _SEED, _number(round_number), specs)
    found.append(increment)
  return [np.stack(parts) for parts in zip(*found, strict=True)], state


def _nodes(leaves, first=0):
  """All (first leaf, one beyond the last) of nodes of a tree that are complete after so many leaves."""
  sizes = [2**level for level in range(leaves.bit_length())]
  return [(first + i, first + i + size) for size in sizes for i in range(0, leaves - size + 1, size)]


def _subtrees(leaves):
  """The complete trees, the largest first, that leaves fill."""
  first = 0
  for level in reversed(range(leaves.bit_length())):
    if leaves >> level & 1:
      yield first, 2**level
      first += 2**level


def _estimator(size):
  """Weights of the nodes of a complete tree in the least squares estimate of the sum of its leaves."""
  matrix = np.array([[start <= leaf < stop for leaf in range(size)] for start, stop in _nodes(size)], np.float64)
  return np.ones(size) @ np.linalg.inv(matrix.T @ matrix) @ matrix.T


def _least_squares(leaves, spec_index, before=0):
  """Noise of the best estimate of the sum of the first leaves of a tree that begins after some rounds."""
  total = 0.0
  for first, size in _subtrees(leaves):
    for weight, (start, stop) in zip(_estimator(size), _nodes(size, first), strict=True):
      level = int(math.log2(stop - start))
      total = total + weight * noise_lib.draw(_SPECS, _SEED, _number(before + stop), _number(level))[spec_index].numpy()
  return total


def _patterns(rounds, min_separation, most_participations):
  """All rounds that a client can take part in, as 0 and 1."""
  for count in range(1, most_participations + 1):
    # Distances are min_separation at the least: with that taken off, they are any.
    slack = rounds - (count - 1) * (min_separation - 1)
    for places in itertools.combinations(range(max(slack, 0)), count):
      part = np.zeros(rounds)
      part[[place + i * (min_separation - 1) for i, place in enumerate(places)]] = 1.0
      yield part


def _worst(rounds, every, min_separation, most_participations):
  """The L2 norm of what the worst client changes, one pattern after the other."""
  nodes = [node for first in range(0, rounds, every) for node in _nodes(min(every, rounds - first), first)]
  matrix = np.array([[start <= leaf < stop for leaf in range(rounds)] for start, stop in nodes], np.float64)
  patterns = np.array(list(_patterns(rounds, min_separation, most_participations)))
  return np.max(np.linalg.norm(patterns @ matrix.T, axis=1))


def test_sums_are_the_best_estimate_from_below():
  increments, _ = _increments(tree_noise.TreeNoise(13), 13, _SPECS)
  for index, found in enumerate(increments):
    for round_number, total in enumerate(np.cumsum(found, axis=0, dtype=np.float64), 1):
      np.testing.assert_allclose(total, _least_squares(round_number, index), atol=2e-6)


def test_a_new_tree_begins_and_the_noise_of_the_one_before_stays():
  increments, _ = _increments(tree_noise.TreeNoise(11, restart_every=5), 11, _SPECS)
  for index, found in enumerate(increments):
    totals = np.cumsum(found, axis=0, dtype=np.float64)
    whole = _least_squares(5, index)
    np.testing.assert_allclose(totals[4], whole, atol=2e-6)
    np.testing.assert_allclose(totals[7], whole + _least_squares(3, index, before=5), atol=2e-6)
    whole = whole + _least_squares(5, index, before=5)
    np.testing.assert_allclose(totals[10], whole + _least_squares(1, index, before=10), atol=2e-6)


@pytest.mark.parametrize(
  ('restart_every', 'expected'),
  [
    # v_0 = 1, v_1 = 1 / (1 + 1/2) = 2/3, v_2 = 1 / (1 + 3/4) = 4/7; 3 = 1 + 2, 5 = 1 + 4, 6 = 2 + 4, 7 = 1 + 2 + 4.
    (None, [1, 2 / 3, 5 / 3, 4 / 7, 11 / 7, 26 / 21, 47 / 21]),
    # Of a whole tree of 3 rounds, 5/3 stay.
    (3, [1, 2 / 3, 5 / 3, 5 / 3 + 1, 5 / 3 + 2 / 3, 10 / 3, 10 / 3 + 1]),
  ],
)
def test_variance_of_sums(restart_every, expected):
  tree, coordinates = tree_noise.TreeNoise(7, restart_every), 20_000
  np.testing.assert_allclose([tree.prefix_variance(t) for t in range(1, 8)], expected, rtol=1e-12)
  increments, _ = _increments(tree, 7, (tf.TensorSpec([coordinates]),))
  measured = np.mean(np.square(np.cumsum(increments[0], axis=0, dtype=np.float64)), axis=1)
  # Of chi square over its 20,000 degrees of freedom, the standard deviation is sqrt(2 / 20,000) = 0.01.
  np.testing.assert_allclose(measured, expected, rtol=0.05)


def test_variance_equals_least_squares():
  for rounds in range(1, 33):
    variance = sum(np.sum(np.square(_estimator(size))) for _, size in _subtrees(rounds))
    assert tree_noise.TreeNoise(40).prefix_variance(rounds) == pytest.approx(variance, rel=1e-9)


def test_state_holds_what_is_not_merged_yet():
  increments, (state,) = _increments(tree_noise.TreeNoise(15), 10, (tf.TensorSpec([4]),))
  assert state.shape == [4, 4] and state.dtype == tf.float32
  # 10 = 2 + 8: levels 1 and 3.
  np.testing.assert_array_equal(np.any(state != 0.0, axis=1), [False, True, False, True])
  np.testing.assert_allclose(np.sum(state, axis=0), np.sum(increments[0], axis=0), atol=2e-6)


def test_draws_only_the_nodes_that_a_round_completes(monkeypatch):
  drawn, draw = [], noise_lib.draw

  def count(specs, seed, *numbers):
    drawn.append(tuple(map(int, numbers)))
    return draw(specs, seed, *numbers)

  monkeypatch.setattr(noise_lib, 'draw', count)
  _increments(tree_noise.TreeNoise(8), 8, _SPECS)
  levels = {1: 1, 2: 2, 3: 1, 4: 3, 5: 1, 6: 2, 7: 1, 8: 4}
  assert drawn == [(round_number, level) for round_number, count in levels.items() for level in range(count)]


@pytest.mark.parametrize('restart_every', [None, 3])
def test_resumes(restart_every):
  tree = tree_noise.TreeNoise(12, restart_every)
  whole, end = _increments(tree, 12, _SPECS)
  for rounds in (3, 5, 8):
    _, state = _increments(tree, rounds, _SPECS)
    restored = tuple(tf.constant(buffers.numpy()) for buffers in state)
    rest, again = _increments(tree, 12, _SPECS, restored, rounds + 1)
    for found, expected in zip([*rest, *again], [*(part[rounds:] for part in whole), *end], strict=True):
      np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('restart_every', [None, 6])
def test_graph_equals_eager(restart_every):
  tree = tree_noise.TreeNoise(9, restart_every)
  eager, _ = _increments(tree, 9, _SPECS)
  step = tf.function(lambda state, number: tree.next(state, _SEED, number, _SPECS), autograph=False)
  state = tree.initial_state(_SPECS)
  for index in range(9):
    increment, state = step(state, _number(index + 1))
    for found, expected in zip(increment, eager, strict=True):
      np.testing.assert_allclose(found, expected[index], atol=1e-6)
  assert step.experimental_get_tracing_count() == 1
  with pytest.raises(tf.errors.InvalidArgumentError, match='for 9 rounds'):
    step(state, _number(10))


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    ((8, 8, 1), 4),  # A leaf and the nodes of 2, 4 and 8 above it.
    ((7, 7, 1), 3),  # Of 2 and 4 only; none of 8 is complete.
    ((8, 4, 2), 2 * 3 + 2**2),  # Apart on the levels of 1, 2 and 4; together in the root.
    ((4, 1, 4), 4 + 2 * 2**2 + 4**2),
    # 6 on each level up to 256; 3 nodes of 512 hold 5 of them, 2 at most; the one of 1,024 holds 4.
    ((2000, 313, 6), 9 * 6 + (4 + 4 + 1) + 16),
  ],
)
def test_sensitivity(arguments, expected):
  assert tree_noise.TreeNoise(arguments[0]).sensitivity(*arguments) == pytest.approx(expected**0.5, rel=1e-12)


def test_sensitivity_of_several_trees():
  # Two rounds at opposite ends of a tree of 4, and one in the next: (2 + 2 + 4) + (1 + 1 + 1).
  assert tree_noise.TreeNoise(8, 4).sensitivity(8, 3, 3) == pytest.approx(11**0.5, rel=1e-12)
  # A single one, in a whole tree rather than in the rest of 2 rounds.
  assert tree_noise.TreeNoise(10, 4).sensitivity(10, 1, 1) == pytest.approx(3**0.5, rel=1e-12)


@pytest.mark.parametrize('every', [11, 4, 3])
def test_no_client_exceeds_the_sensitivity(every):
  tree = tree_noise.TreeNoise(11, every)
  for min_separation, most_participations in itertools.product(range(1, 12), (1, 2, 3, 11)):
    worst = _worst(11, every, min_separation, most_participations)
    bound = tree.sensitivity(11, min_separation, most_participations)
    assert worst <= bound * (1.0 + 1e-9)
    if every == 11:
      assert bound <= 1.16 * worst
    if most_participations == 1 or min_separation == 1:
      assert bound == pytest.approx(worst, rel=1e-12)


@pytest.mark.parametrize('rounds', [37, 64, 200])
def test_sensitivity_is_close_to_that_of_the_accountant(rounds):
  for min_separation, most_participations in itertools.product((1, 2, 3, 5, 8), (1, 2, 4, 10)):
    exact = tree_aggregation_accountant.compute_zcdp_single_tree(1.0, rounds, most_participations, min_separation - 1)
    bound = tree_noise.TreeNoise(rounds).sensitivity(rounds, min_separation, most_participations)
    assert 2.0 * exact - 1e-9 <= bound**2 <= 1.1 * 2.0 * exact


def test_refuses():
  for arguments in ((0,), (2.0,), (5, 0), (5, True)):
    with pytest.raises(ValueError, match='must be a whole number'):
      tree_noise.TreeNoise(*arguments)
  tree = tree_noise.TreeNoise(5)
  for arguments in ((6, 1, 1), (5, 0, 1), (5, 1, 0)):
    with pytest.raises(ValueError, match='must be a whole number'):
      tree.sensitivity(*arguments)
  with pytest.raises(ValueError, match='from 1 to 5'):
    tree.prefix_variance(6)
  with pytest.raises(tf.errors.InvalidArgumentError, match='for 5 rounds'):
    tree.next(tree.initial_state(_SPECS), _SEED, _number(6), _SPECS)
