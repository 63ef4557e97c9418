"""An audit: what canary clients find out from private rounds is a lower bound on epsilon, to hold against the claimed one.

After Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), in one run. Each of m canaries is in by a fair coin of its own,
and sends, in each round that draws it, a direction of its own. From what the rounds publish, r coins are guessed, and of
any (epsilon, delta)-private rounds (their corollary 5.4)

    P[right >= v] <= P[B >= v] + 2 m delta max_i P[v > B >= v - i] / i;  B = Binomial(r, 1 / (1 + exp(-epsilon)))

so that many right guesses refute each epsilon at which they are improbable. A canary that is out and is drawn sends nothing,
which is the neighbour of both kinds of accounting: to a private mean, whose divisor is constant, a client that is not there
and one that sends zeros are the same. Its rounds are real: the aggregation, codec, noise and draws of a run.

An audit finds mistakes, and proves nothing where it finds none: r guesses show about log(r / 3) at most, and where sampling
hides who takes part much less.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np
from scipy import special
from scipy import stats
import tensorflow as tf
import tensorflow_federated as tff

from compression import sent_update
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise as noise_lib
from compression.privacy import plans
from compression.privacy import private_mean
from data import arguments

CONFIDENCE = 0.95
_GUESSED = 4  # One part in so many of the canaries is guessed to be in, and one to be out; decided before any score.
_LOUD = 1e6  # Norm of a canary's update over the first bound, so that it is clipped though the bound may grow.
_QUIET = 0.1  # That of all other clients.
_COINS = (0, 1)  # Keep the draws of the audit apart from those of participants, whose second number is a round, from 1.
_SAMPLES = 16  # Of the noise, for each round, to estimate how that of rounds is correlated.
_LEAST_SAMPLES = 4096
_SAMPLING_SEED = (0, 7)  # Of those; no seed of a mechanism's noise.

Draw = Callable[[int], Iterable[int]]  # From the number of a round, from 1, to numbers of clients, from 0.


class Audit(NamedTuple):
  """What an audit found.

  Attributes:
    canaries: How many there were.
    guesses: About how many of them there was a guess.
    right: How many guesses were right.
    delta: The probability at which epsilon may fail.
    lower_bound: On epsilon, with `CONFIDENCE`: rounds that keep less guess so well in one audit of twenty at most.
    most: The bound were all guesses right.
    claimed: What the accountant says that the rounds come to at most.
  """

  canaries: int
  guesses: int
  right: int
  delta: float
  lower_bound: float
  most: float
  claimed: float

  @property
  def holds(self) -> bool:
    """Whether the claim is not refuted."""
    return self.lower_bound <= self.claimed


def audit(
  plan: plans.PrivacyPlan,
  codec: update_codec.UpdateCodec,
  draw: Draw,
  canaries: int,
  dimensions: int,
  seed: int,
  mechanism: mechanism_lib.Mechanism | None = None,
) -> Audit:
  """Audits the rounds of a plan; clients from number 0 on are the canaries, and all others send small random updates.

  Args:
    plan: What is claimed, of all rounds of its cohort.
    codec: Encodes updates.
    draw: Who takes part.
    canaries: How many clients are, at least 4 and at most all.
    dimensions: Values of an update. From as many as canaries on no direction has a part of another's.
    seed: That of coins, directions and noise.
    mechanism: What is audited; by default that of the plan.

  Returns:
    What was found.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_whole(_GUESSED, plan.cohort.num_clients, canaries=canaries)
  arguments.check_whole(1, dimensions=dimensions)
  rng = np.random.default_rng([seed, *_COINS])
  is_in = rng.random(canaries) < 0.5
  directions = _directions(canaries, dimensions, rng)
  drawn = [np.fromiter(draw(number), np.int64) for number in range(1, plan.cohort.rounds + 1)]
  is_there = np.append(is_in, np.ones(plan.cohort.num_clients - canaries, bool))
  taking_part = [numbers[is_there[numbers]] for numbers in drawn]
  mechanism = mechanism or plan.mechanism(seed)
  rounds = _rounds(mechanism, codec, directions, taking_part, rng)
  published = np.stack([directions @ mean for mean in rounds])
  return _judged(plan, is_in, np.sum(published * _weights(plan, mechanism, drawn, canaries), axis=0))


def lower_bound(right: int, guesses: int, canaries: int, delta: float) -> float:
  """Returns the least epsilon that so many right guesses do not refute with `CONFIDENCE`, rounded down; 0 if they refute none.

  Args:
    right: Guesses that were right, at most `guesses`.
    guesses: How many there were, at most `canaries`.
    canaries: How many coins were thrown.
    delta: The probability at which epsilon may fail.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_whole(1, canaries=canaries)
  arguments.check_whole(0, canaries, guesses=guesses)
  arguments.check_whole(0, guesses, right=right)
  arguments.check_within('[0, 1]', delta=delta)

  def is_refuted(epsilon: float) -> bool:
    return _probability(right, guesses, canaries, epsilon, delta) < 1.0 - CONFIDENCE

  low, high = 0.0, 1.0
  while is_refuted(high):
    low, high = high, 2.0 * high
  while high - low > 1e-6:
    middle = (low + high) / 2.0
    low, high = (middle, high) if is_refuted(middle) else (low, middle)
  return low if is_refuted(low) else 0.0


def _probability(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
  """Returns what bounds the probability of so many right guesses or more, as the module says."""
  accuracy = special.expit(epsilon)
  fewer = np.cumsum(stats.binom.pmf(np.arange(right)[::-1], guesses, accuracy)) / np.arange(1, right + 1)
  return float(stats.binom.sf(right - 1, guesses, accuracy) + 2.0 * canaries * delta * np.max(fewer, initial=0.0))


def _judged(plan: plans.PrivacyPlan, is_in: np.ndarray, scores: np.ndarray) -> Audit:
  """Guesses that the canaries of the highest scores are in, and those of the lowest out, and counts."""
  canaries, each = len(is_in), len(is_in) // _GUESSED
  order = np.argsort(scores)
  right = int(np.sum(is_in[order[-each:]]) + np.sum(~is_in[order[:each]]))
  found, most = (lower_bound(number, 2 * each, canaries, plan.delta) for number in (right, 2 * each))
  return Audit(canaries, 2 * each, right, plan.delta, found, most, plan.epsilon_after(plan.cohort.rounds))


def _directions(canaries: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
  """Returns random unit directions, float32 [canaries, dimensions]; orthogonal to each other if that is possible."""
  drawn = rng.standard_normal([dimensions, canaries])
  if canaries <= dimensions:
    drawn, triangle = np.linalg.qr(drawn)
    drawn *= np.sign(np.diag(triangle))
  return (drawn / np.linalg.norm(drawn, axis=0)).T.astype(np.float32)


def _rounds(
  mechanism: mechanism_lib.Mechanism,
  codec: update_codec.UpdateCodec,
  directions: np.ndarray,
  taking_part: Sequence[np.ndarray],
  rng: np.random.Generator,
) -> Iterator[np.ndarray]:
  """Yields what each round publishes, float32 [dimensions], in bounds of a client's part of the sum."""
  canaries, dimensions = directions.shape
  process = _process(mechanism, codec, dimensions)

  def delta(number: int) -> np.ndarray:
    if number < canaries:
      return (_LOUD * mechanism.bound * directions[number]).astype(np.float32)
    values = rng.standard_normal(dimensions)
    return (_QUIET * mechanism.bound * values / np.linalg.norm(values)).astype(np.float32)

  state = process.initialize()
  for numbers in taking_part:
    shared_seed = _seed(rng)
    updates = [_update(delta(number), _seed(rng), shared_seed) for number in numbers]
    done = process.next(state, updates)
    state = done.state
    yield np.asarray(done.result['delta'][0]) * (mechanism.num_clients / done.measurements['clip'])


def _process(
  mechanism: mechanism_lib.Mechanism, codec: update_codec.UpdateCodec, dimensions: int
) -> tff.templates.IterativeProcess:
  """Returns the private mean of updates of one variable, whose weights are all 1."""
  value_type = sent_update.update_type(tff.types.to_type(((np.float32, [dimensions]),)))
  process = private_mean.PrivateMeanFactory(codec, mechanism).create(value_type, tff.TensorType(np.float32))

  @tff.federated_computation(process.initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS))
  def next_fn(state, updates):
    return process.next(state, updates, tff.federated_value(np.float32(1.0), tff.CLIENTS))

  return tff.templates.IterativeProcess(process.initialize, next_fn)


def _update(delta: np.ndarray, client_seed: np.ndarray, shared_seed: np.ndarray) -> dict[str, Any]:
  return dict(delta=(delta,), trained=np.array([True]), client_seed=client_seed, shared_seed=shared_seed, answers=True)


def _seed(rng: np.random.Generator) -> np.ndarray:
  return rng.integers(2**62, size=2)


def _weights(
  plan: plans.PrivacyPlan, mechanism: mechanism_lib.Mechanism, drawn: Sequence[np.ndarray], canaries: int
) -> np.ndarray:
  """Returns how much each round counts for the score of each canary, float64 [rounds, canaries].

  Where epsilon relies on it that nobody knows who is drawn, all rounds count alike. Else the attacker knows when a canary is
  drawn, and how the noise of rounds is correlated, and takes the best linear estimate of whether it was in, but for scale.
  """
  if plan.min_separation is None:
    return np.ones([len(drawn), canaries])
  is_drawn = np.stack([np.isin(np.arange(canaries), numbers) for numbers in drawn]).astype(np.float64)
  scaled = np.linalg.solve(_covariance(mechanism.noise, len(drawn)), is_drawn)
  precision = np.sum(is_drawn * scaled, axis=0)  # That of the estimate, which then has the scale of a coin.
  return np.divide(scaled, precision, out=np.zeros_like(scaled), where=precision > 0.0)


def _covariance(noise: noise_lib.Noise, rounds: int) -> np.ndarray:
  """Returns that of the noise of rounds in a coordinate, float64 [rounds, rounds], estimated from samples."""
  specs = [tf.TensorSpec([max(_LEAST_SAMPLES, _SAMPLES * rounds)])]
  state, samples = noise.initial_state(specs), []
  for number in range(1, rounds + 1):
    (drawn,), state = noise.next(state, tf.constant(_SAMPLING_SEED, tf.int64), tf.constant(number, tf.int64), specs)
    samples.append(drawn.numpy().astype(np.float64))
  return np.cov(np.stack(samples)).reshape([rounds, rounds])
