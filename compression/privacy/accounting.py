"""What noise buys: epsilon at a delta, of rounds whose noise is independent and of noise that is released once.

A noise multiplier is the standard deviation of the noise on a round's sum, divided by the bound C on a client's part of
that sum. What "one client more or less" means differs, and so do the numbers, which are not to be compared:

    poisson               each client takes part with probability q, by its own coin   add or remove one client
    without_replacement   as many clients in each round, drawn uniformly               replace one client by another
    once                  any clients, of whom only how often they come is known       one client sends zeros instead
    skellam               the same, for the noise of clients whose sum alone is seen   one client sends zeros instead

`poisson` composes privacy loss distributions (Koskela et al. 2020, arXiv 1906.03049; discretised by Doroshenko et al. 2022,
arXiv 2207.04380), `without_replacement` Renyi divergences (Wang et al. 2019, arXiv 1808.00087), and `once` is the exact
curve of the Gaussian mechanism (Balle and Wang 2018, arXiv 1805.06530). The first two are upper bounds; where sampling
helps less than the bound loses, they are those of the same rounds without sampling.
"""

from collections.abc import Callable
import decimal
import functools
import math

import dp_accounting
from dp_accounting.pld import privacy_loss_distribution
import numpy as np
from scipy import optimize
from scipy import special

from data import arguments

_Pld = privacy_loss_distribution.PrivacyLossDistribution

_DELTA_EXPONENT = -1.1
_LEAST_MULTIPLIER, _MOST_MULTIPLIER = 1e-3, 1e4
_SMALL = 1e-300
_DIGITS = 4  # Significant ones of what is rounded up.
_POINTS = 30_000  # Losses that a round's grid tells apart: steps of 1.5e-4 at usual settings.
_FINEST_STEP = 1e-6  # Finer grids lose more to cancellation than they win.
_COARSE = 1e-2  # A grid of so many standard deviations costs some 1e-5 of epsilon.
_ORDERS = np.concatenate([np.arange(2, 256), 2 ** np.arange(8, 21)])  # Of Renyi divergences; whole ones.
_LOG_TAIL, _TAIL_DEVIATIONS = -40.0, 8.7  # A normal distribution has exp(-40) beyond 8.7: nothing to a delta of 1e-12.


def poisson(noise_multiplier: float, sampling_probability: float, rounds: int, delta: float) -> float:
  """Returns epsilon of rounds that clients join by coins of their own; neighbours differ by one client more or less.

  The losses of one round are kept, so that a run may ask after each round; a round's epsilon does not depend on what was
  asked before.

  Args:
    noise_multiplier: The standard deviation of the noise on the sum, over the bound on a client's part of it.
    sampling_probability: Each client's probability of taking part in a round; 1 is composition without amplification.
    rounds: Those that are over.
    delta: The probability at which epsilon may fail, in (0, 1).

  Returns:
    An upper bound on epsilon: 0 after no round, infinite without noise.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_within('(0, 1]', sampling_probability=sampling_probability)
  unamplified = _composed(noise_multiplier, rounds, delta)
  if sampling_probability == 1.0 or unamplified in (0.0, math.inf):
    return unamplified
  losses = _losses(float(noise_multiplier), float(sampling_probability))
  with np.errstate(all='ignore'):
    return min(unamplified, float(losses.self_compose(rounds).get_epsilon_for_delta(delta)))


def without_replacement(
  noise_multiplier: float, clients_per_round: int, num_clients: int, rounds: int, delta: float
) -> float:
  """Returns epsilon of rounds of as many clients, drawn uniformly; neighbours have one client in place of another.

  A client of bound C in place of another moves the sum by up to 2 C. The Renyi divergences of this sampling are those of
  the ratio of the noise to how far a replacement moves the sum, which is half of `noise_multiplier`; published numbers
  often take the multiplier itself, as if a replacement moved the sum by C.

  Args:
    noise_multiplier: The standard deviation of the noise on the sum, over the bound on a client's part of it.
    clients_per_round: How many are drawn in a round.
    num_clients: How many they are drawn from.
    rounds: Those that are over.
    delta: The probability at which epsilon may fail, in (0, 1).

  Returns:
    An upper bound on epsilon: 0 after no round, infinite without noise.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_whole(1, num_clients=num_clients)
  arguments.check_whole(1, num_clients, clients_per_round=clients_per_round)
  unamplified = _composed(noise_multiplier / 2, rounds, delta)
  if clients_per_round == num_clients or unamplified in (0.0, math.inf):
    return unamplified
  orders, divergences = _divergences(noise_multiplier / 2, clients_per_round, num_clients)
  return min(unamplified, float(dp_accounting.rdp.compute_epsilon(orders, rounds * divergences, delta)[0]))


def once(noise_multiplier: float, sensitivity: float, delta: float) -> float:
  """Returns the exact epsilon of one release with Gaussian noise: of a whole run, for noise that rounds share.

  Args:
    noise_multiplier: The standard deviation of the noise, over the bound on a client's part of one round.
    sensitivity: How far one client moves what is released, over the same bound.
    delta: The probability at which epsilon may fail, in (0, 1).

  Returns:
    Epsilon: 0 if the noise alone keeps it within delta, infinite without noise.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_not_negative(noise_multiplier=noise_multiplier, sensitivity=sensitivity)
  arguments.check_within('(0, 1)', delta=delta)
  if not sensitivity:
    return 0.0
  if not noise_multiplier:
    return math.inf
  shift = sensitivity / noise_multiplier
  wanted = math.log(delta)
  if _log_delta(shift, 0.0) <= wanted:
    return 0.0
  low, high = 0.0, shift * shift / 2 + shift * math.sqrt(-2 * wanted)  # The latter is what concentration alone proves.
  while low < (middle := (low + high) / 2) < high:
    low, high = (low, middle) if _log_delta(shift, middle) <= wanted else (middle, high)
  return high


def skellam(noise_multiplier: float, radius: float, participations: int, delta: float) -> float:
  """Returns epsilon of Skellam noise on whole numbers; neighbours have one client that sends zeros instead.

  By Renyi divergences of whole orders (Agarwal et al. 2021, arXiv 2110.04995, theorem 3.5); the L1 norm of whole numbers is
  at most the square of their L2 norm, so that their number does not matter.

  Args:
    noise_multiplier: The standard deviation of the noise on the sum, over `radius`.
    radius: The largest L2 norm of a client's numbers, at least 1.
    participations: How often a client takes part.
    delta: The probability at which epsilon may fail, in (0, 1).

  Returns:
    An upper bound on epsilon: 0 after no round, infinite without noise.

  Raises:
    ValueError: If an argument is not what it should be.
  """
  arguments.check_not_negative(noise_multiplier=noise_multiplier)
  arguments.check_whole(0, participations=participations)
  arguments.check_within('(0, 1)', delta=delta)
  if not participations:
    return 0.0
  if not noise_multiplier:
    return math.inf
  square, variance = radius**2, (noise_multiplier * radius) ** 2
  surplus = np.minimum(((2 * _ORDERS + 5) * square) / (4 * variance**2), 3 * square / (2 * variance))
  divergences = _ORDERS * square / (2 * variance) + surplus
  return float(dp_accounting.rdp.compute_epsilon(_ORDERS, participations * divergences, delta)[0])


def rho(noise_multiplier: float, sensitivity: float) -> float:
  """Returns what one release with Gaussian noise costs in concentrated differential privacy (zCDP), as for `once`.

  Raises:
    ValueError: If an argument is negative.
  """
  arguments.check_not_negative(noise_multiplier=noise_multiplier, sensitivity=sensitivity)
  if not sensitivity:
    return 0.0
  return sensitivity**2 / (2 * noise_multiplier**2) if noise_multiplier else math.inf


def noise_multiplier_for(epsilon: float, delta: float, epsilon_of: Callable[[float], float]) -> float:
  """Returns the smallest noise multiplier that keeps epsilon, in four significant digits, rounded up.

  Args:
    epsilon: What may be spent.
    delta: The probability at which `epsilon_of` lets it fail; for the message.
    epsilon_of: From a multiplier to epsilon, which falls as the multiplier grows.

  Returns:
    A multiplier of at most 10,000 whose epsilon is at most `epsilon`; not below 0.001, which hardly is noise.

  Raises:
    ValueError: If there is none.
  """
  arguments.check_positive(epsilon=epsilon)
  arguments.check_within('(0, 1)', delta=delta)

  @functools.cache
  def excess(log_multiplier: float) -> float:
    spent = epsilon_of(math.exp(log_multiplier))
    return math.log(min(max(spent, _SMALL), 1 / _SMALL) / epsilon)

  low = high = 0.0
  while excess(high) > 0.0:
    low, high = high, high + math.log(2)
    if high > math.log(_MOST_MULTIPLIER):
      raise ValueError(
        f'no noise multiplier up to {_MOST_MULTIPLIER:,.0f} keeps epsilon at {epsilon:g} with delta {delta:g}: allow a '
        'larger epsilon, or take fewer rounds or fewer clients a round'
      )
  while excess(low) <= 0.0:
    low, high = low - math.log(2), low
    if low < math.log(_LEAST_MULTIPLIER):
      return rounded_up(math.exp(high))
  found = rounded_up(math.exp(optimize.brentq(excess, low, high, xtol=0.1**_DIGITS / 10)))
  while epsilon_of(found) > epsilon:
    found = rounded_up(found * (1 + 0.1**_DIGITS))
  return found


def rounded_up(value: float) -> float:
  """Returns a positive number in four significant digits, no smaller than it was."""
  rounded = decimal.Context(prec=_DIGITS, rounding=decimal.ROUND_CEILING).create_decimal(repr(float(value)))
  return float(rounded)


def default_delta(num_clients: int) -> float:
  """Returns num_clients ** -1.1: less than the probability with which a random client might be given away outright."""
  arguments.check_whole(1, num_clients=num_clients)
  return float(num_clients) ** _DELTA_EXPONENT


def _composed(noise_multiplier: float, rounds: int, delta: float) -> float:
  """Returns epsilon of rounds without sampling, which is that of one release with their noise."""
  arguments.check_whole(0, rounds=rounds)
  return once(noise_multiplier, math.sqrt(rounds), delta)


def _log_delta(shift: float, epsilon: float) -> float:
  """Returns the logarithm of delta of normal distributions that lie so many standard deviations apart."""
  above = special.log_ndtr(shift / 2 - epsilon / shift)
  below = epsilon + special.log_ndtr(-shift / 2 - epsilon / shift)
  return above + math.log1p(-math.exp(below - above)) if below < above else -math.inf


@functools.lru_cache(maxsize=8)
def _losses(noise_multiplier: float, sampling_probability: float) -> _Pld:
  """Returns the privacy losses of one round, on a grid as fine as their reach allows."""
  inverse = 1 / noise_multiplier
  reach = np.logaddexp(
    math.log1p(-sampling_probability),
    math.log(sampling_probability) + inverse * (inverse / 2 + _TAIL_DEVIATIONS),
  )
  spread = inverse if inverse > 5 else min(inverse, sampling_probability * math.sqrt(math.expm1(inverse**2)))
  with np.errstate(all='ignore'):
    return privacy_loss_distribution.from_gaussian_mechanism(
      noise_multiplier,
      sampling_prob=sampling_probability,
      log_mass_truncation_bound=_LOG_TAIL,
      value_discretization_interval=max(float(reach) / _POINTS, _COARSE * spread, _FINEST_STEP),
    )


@functools.lru_cache(maxsize=8)
def _divergences(ratio: float, clients_per_round: int, num_clients: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns orders and Renyi divergences of one round, float64 [orders] each; `ratio` is of noise to a replacement."""
  accountant = dp_accounting.rdp.RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.REPLACE_ONE)
  with np.errstate(all='ignore'):
    accountant.compose(
      dp_accounting.SampledWithoutReplacementDpEvent(
        num_clients, clients_per_round, dp_accounting.GaussianDpEvent(ratio)
      )
    )
  return accountant.orders, accountant.rdp
