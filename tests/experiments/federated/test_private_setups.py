"""Private runs that are put together wrongly are refused, and no two runs draw the same noise."""

import dataclasses
import pathlib
import types

import pytest

from compression.privacy import kinds
from compression.privacy import plans
from compression.secure_sums import modular
from experiments import language_model
from experiments.command import failures
from experiments.federated import private_runs
from experiments.federated import run
from experiments.federated import run_identity
from experiments.federated import run_setup
from experiments.federated import secure_runs
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import tiny_language

_PLAN = kinds.Gaussian(0.5, noise_multiplier=1.0, delta=1e-5).planned(plans.Cohort(20, 5, 3))
_CONFIG = run.Config(pathlib.Path('run'))


def _process(privacy=None):
  task = tiny_language.task()
  batches, weighting = local_batches.LocalBatches(), 'uniform'
  return fed_opt.fed_avg()(task, algorithms.Communication(), batches, 1, client_weighting=weighting, privacy=privacy)


def test_noise_and_ledger_belong_together():
  private, plain = _process(_PLAN.mechanism(seed=1)), _process()
  accounted = dataclasses.replace(_CONFIG, privacy=_PLAN)
  run_identity.check_privacy(private, accounted)
  run_identity.check_privacy(plain, _CONFIG)
  for process, config in ((private, _CONFIG), (plain, accounted)):
    with pytest.raises(failures.UsageError, match=r'belong together: give privacy=plan.mechanism'):
      run_identity.check_privacy(process, config)


def test_a_process_whose_privacy_is_not_planned_is_refused():
  flags = dict(privacy='gaussian(clip=0.5, noise_multiplier=1)', client_weighting='uniform', output_dir='run', rounds=1)
  setup = run_setup.read(language_model.FLAGS.read(flags))
  with pytest.raises(failures.UsageError, match=r'has to call RunSetup.among\(population\) first'):
    setup.process(tiny_language.task())


def test_a_secure_sum_is_read_by_name_and_by_object_and_has_to_be_planned():
  flags = dict(client_weighting='uniform', output_dir='run', rounds=1)
  named, given = (
    run_setup.read(language_model.FLAGS.read(flags | dict(secure_sum=secure_sum)))
    for secure_sum in ('modular(bits=12, limit=0.5)', modular.Modular(bits=12, limit=0.5))
  )
  assert named.secure_sum == given.secure_sum == modular.Modular(bits=12, limit=0.5)
  for setup in (named, given):
    with pytest.raises(failures.UsageError, match='--secure_sum was not planned'):
      setup.process(tiny_language.task())


def test_runs_that_differ_share_no_noise():
  clients = types.SimpleNamespace(dataset_hash='d', training_ids=['a', 'b'])
  others = types.SimpleNamespace(dataset_hash='d', training_ids=['a'])

  def seed(population=clients, number=0, plan=_PLAN, **settings):
    given = dict(algorithm='fed_avg', output_dir='x', rounds=3) | settings
    return private_runs.noise_seed(population, dataclasses.replace(_CONFIG, seed=number, settings=given), plan)

  assert seed() == seed(output_dir='y', rounds=9, runtime='worker', epsilon_budget=3.0)
  assert 0 <= seed() < 2**63
  # Runs of other rounds have other noise where epsilon, which decides the multiplier, is what is given.
  louder = dataclasses.replace(_PLAN, noise_multiplier=_PLAN.noise_multiplier + 0.1)
  assert len({seed(), seed(number=1), seed(algorithm='fed_adam'), seed(others), seed(plan=louder)}) == 5


def test_what_decides_epsilon_is_known():
  facts = _PLAN.facts()
  for changed in (
    dataclasses.replace(_PLAN, delta=0.5),
    dataclasses.replace(_PLAN, noise_multiplier=2.0),
    dataclasses.replace(_PLAN, cohort=plans.Cohort(20, 4, 3)),
    kinds.Blt(0.5, noise_multiplier=1.0, delta=1e-5).planned(plans.Cohort(20, 5, 3)),
  ):
    assert changed.facts() != facts
  assert dataclasses.replace(_PLAN, cohort=plans.Cohort(20, 5, 9)).facts() == facts


def test_the_sum_of_a_client_that_came_alone_is_not_learned():
  coins = kinds.Gaussian(0.5, noise_multiplier=1.0, delta=1e-5).planned(plans.Cohort(1000, 100, 3))
  rested = kinds.Tree(0.5, noise_multiplier=1.0, delta=1e-5).planned(plans.Cohort(1000, 100, 3))
  for plan in (coins, rested):
    assert secure_runs.planned(modular.Modular(), plan, num_clients=1000, clients_per_round=100).least_answers == 2


# Poisson's law, nearly: of 14 expected none or one comes with probability 15 e^-14 = 1.2e-5, of 40 with 41 e^-40 = 1.7e-16.
# Ten rounds of these, times 1 + e^epsilon, are far above and far below a hundredth of 1e-5.
@pytest.mark.parametrize(
  ('expected', 'vanish', 'message'),
  [(14, False, 'raise --clients_per_round'), (40, True, 'leave --client_dropout out'), (40, False, None)],
)
def test_aborted_rounds_that_epsilon_does_not_cover_are_refused(expected, vanish, message):
  cohort = plans.Cohort(10_000, expected, 10)
  coins = kinds.Gaussian(0.5, noise_multiplier=1.0, delta=1e-5).planned(cohort)
  turns = kinds.Tree(0.5, noise_multiplier=1.0, delta=1e-5).planned(cohort)
  secure_runs.planned(modular.Modular(), turns, 10_000, expected, vanish)
  if message is None:
    secure_runs.planned(modular.Modular(), coins, 10_000, expected, vanish)
    return
  with pytest.raises(failures.UsageError, match=message):
    secure_runs.planned(modular.Modular(), coins, 10_000, expected, vanish)


def test_with_two_clients_their_absence_would_show():
  # Both come to each round, and without one of them each is aborted; of three, two are left to be summed.
  for num_clients in (2, 3):
    plan = kinds.Gaussian(0.5, noise_multiplier=1.0, delta=1e-2).planned(plans.Cohort(num_clients, num_clients, 1))
    if num_clients == 3:
      secure_runs.planned(modular.Modular(), plan, num_clients, num_clients)
      continue
    with pytest.raises(failures.UsageError, match='raise --clients_per_round'):
      secure_runs.planned(modular.Modular(), plan, num_clients, num_clients)
