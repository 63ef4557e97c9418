"""Audits of private rounds as a run has them: the privacy, codec and draws that flags name, and what was found in words."""

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from compression import update_codec
from compression.privacy import accounting
from compression.privacy import auditing
from compression.privacy import catalog
from compression.privacy import plans
from data import population as population_lib
from experiments.command import codec_specs
from experiments.command import failures
from experiments.command import spec
from experiments.federated import participation
from experiments.results import markdown_table
from experiments.workers import in_process

_FUTILE = ', so that no guesses could have broken the claim: take more --canaries, or claim less.'


def audit(privacy: Any, upload: Any, cohort: plans.Cohort, canaries: int, dimensions: int, seed: int) -> auditing.Audit:
  """Audits real rounds in this process.

  Args:
    privacy: What `--privacy` takes.
    upload: What `--upload` takes.
    cohort: Who takes part.
    canaries: How many clients are, see `auditing.audit`.
    dimensions: Values of an update.
    seed: That of everything that is drawn.

  Raises:
    SpecError: If a spec is wrong.
    UsageError: If there is nothing to audit, or too few clients.
  """
  kind = spec.build(privacy, catalog.PRIVACIES, 'privacy', kind=plans.Privacy)
  if kind is None:
    raise failures.UsageError(
      "--privacy is missing: say what to audit, such as --privacy='gaussian(clip=1, noise_multiplier=1)'"
    )
  if kind.needs_secure_sum:
    raise failures.UsageError('an audit has no secure sum, in which the clients of this kind hide: audit another kind')
  codec = _codec(upload)
  if canaries > cohort.num_clients:
    raise failures.UsageError(
      f'--canaries={canaries} is more than --num_clients={cohort.num_clients}: canaries are some of these clients'
    )
  try:
    plan = kind.planned(cohort)
  except ValueError as error:
    raise failures.UsageError(f'--privacy: {error}') from error
  with in_process.in_process():
    return auditing.audit(plan, codec, _draw(plan, seed), canaries, dimensions, seed)


def told(found: auditing.Audit) -> str:
  """Returns what an audit found, as a table and what it means."""
  rows = {
    'canaries': f'{found.canaries:,}',
    'guesses': f'{found.guesses:,}',
    'right guesses': f'{found.right:,}',
    f'lower bound on epsilon, at {auditing.CONFIDENCE:.0%} confidence': f'{found.lower_bound:.4g}',
    'epsilon that is claimed, at most': f'{accounting.rounded_up(found.claimed):.4g}',
  }
  table = markdown_table.render(['audit', 'found'], rows.items())
  return (
    f'{table}\n\nThe bound is {"within" if found.holds else "above"} the claim, both with delta {found.delta:.4g}. Were all '
    f'guesses right, it would be {found.most:.4g}{_FUTILE if found.most <= found.claimed else "."} Neighbours: a canary is '
    'in, or is out and sends nothing.'
  )


def check(found: auditing.Audit) -> None:
  """Raises `RunEnded` if a claim is refuted."""
  if not found.holds:
    raise failures.RunEnded(
      f'the claim is broken: epsilon is at least {found.lower_bound:.4g}, and at most {found.claimed:.4g} was claimed; '
      'rounds that keep their claim are said to break it in one audit of twenty at most, so look at another --seed, too'
    )


def _codec(upload: Any) -> update_codec.UpdateCodec:
  codec = codec_specs.build(upload, 'upload')
  if not isinstance(codec, update_codec.UpdateCodec):
    raise failures.UsageError(
      f'--upload={upload} follows votes of clients, which tell of their data: privacy needs another one'
    )
  return codec


def _draw(plan: plans.PrivacyPlan, seed: int) -> auditing.Draw:
  """Returns who takes part, by number, as in a run of these clients."""
  names = [f'{number:09}' for number in range(plan.cohort.num_clients)]  # Sorted as their numbers are.
  clients = tff.simulation.datasets.ClientData.from_clients_and_tf_fn(names, tf.data.Dataset.from_tensors)
  population = population_lib.Population(clients, clients, dataset_hash='')
  draw = participation.draw(population, plan.cohort.clients_per_round, seed, plan)
  return lambda round_number: map(int, draw(round_number))
