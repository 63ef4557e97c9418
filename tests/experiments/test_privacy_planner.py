"""`experiments.privacy`: what it answers, and how it refuses."""

import os

import pytest

from compression.privacy import accounting
from compression.privacy import auditing
from experiments.command import failures
from experiments.federated import audits
from tests import binaries

_RUN = dict(num_clients=3383, clients_per_round=120, rounds=100, noise_multiplier=1.2, delta=1e-5)

_AUDIT = dict(
  what='audit',
  privacy='gaussian(clip=1, noise_multiplier=1, delta=1e-5)',
  canaries=100,
  num_clients=200,
  clients_per_round=200,
  rounds=2,
  noise_multiplier=None,
  delta=None,
)


def _arguments(**changed: object) -> list[str]:
  return [f'--{name}={value}' for name, value in {**_RUN, **changed}.items() if value is not None]


def _printed(**changed: object) -> tuple[str, dict[str, list[str]], str]:
  """Returns the sentence, the numbers of each row of the table by its first word, and the notes."""
  process = binaries.run('experiments.privacy', _arguments(**changed), {**os.environ, 'COLUMNS': '400'})
  assert process.returncode == 0, process.stderr
  assert not process.stderr
  sentence, table, notes = process.stdout.split('\n\n')
  lines = iter(table.splitlines())
  assert any(line.startswith('---') for line in lines)  # What is left follows the header.
  rows = [line.split('  ') for line in lines]
  return sentence, {row[0].split()[0].strip(':'): [cell.strip() for cell in row[1:] if cell] for row in rows}, notes


def _epsilon(num_clients: int, clients_per_round: float, rounds: float, noise_multiplier: float, delta: float) -> float:
  return accounting.poisson(noise_multiplier, clients_per_round / num_clients, int(rounds), delta)


def test_epsilon_is_found():
  sentence, rows, notes = _printed(modelled_noise_cohort=1000)
  assert sentence == (
    'Epsilon is 1.708 with delta 1e-05, after 100 rounds of 120 of 3,383 clients with noise multiplier 1.2.'
  )
  assert rows == {
    'Poisson': ['0.7715', '1.01', '1.289', '1.708'],
    'fixed-size': ['6.805', '9.81', '12.12', '14.1'],
    'no': ['14.12', '25.77', '41.75', '69.46'],
    'modelled': ['0.3301', '0.5362', '0.7773', '1.131'],
  }
  assert '0.01 in the mean of a round, 0.1 in the means of all rounds together' in notes


def test_noise_is_found_and_keeps_what_was_asked():
  sentence, rows, _ = _printed(noise_multiplier=None, epsilon=2, delta=None)
  found = float(sentence.split('at least ')[1].split()[0])
  delta = accounting.default_delta(3383)
  assert (
    accounting.poisson(found, 120 / 3383, 100, delta) <= 2 < accounting.poisson(found * 0.999, 120 / 3383, 100, delta)
  )
  assert f'epsilon 2 with delta {delta:.4g}, after 100 rounds of 120 of 3,383 clients.' in sentence
  assert float(rows['Poisson'][-1]) <= 2


@pytest.mark.parametrize(
  ('unknown', 'begins', 'more'),
  [
    ('rounds', 'There may be ', 1),
    ('clients_per_round', 'A round may have ', 1),
    ('delta', 'Delta is ', -1e-9),
  ],
)
def test_each_other_unknown_is_found_and_a_step_beyond_is_too_far(unknown: str, begins: str, more: float):
  sentence, rows, _ = _printed(**{unknown: None}, epsilon=0.5, noise_multiplier=3)
  assert sentence.startswith(begins)
  found = float(sentence.removeprefix(begins).split()[0])
  spent = [_epsilon(**{**_RUN, 'noise_multiplier': 3, unknown: each}) for each in (found, found + more)]
  assert spent[0] <= 0.5 < spent[1]
  assert spent[0] <= float(rows['Poisson'][-1]) <= 0.5


@pytest.mark.parametrize('mechanism', ['tree', 'blt'])
def test_noise_that_rounds_share_says_how_often_a_client_takes_part(mechanism: str):
  sentence, rows, notes = _printed(mechanism=mechanism, noise_multiplier=5, clients_per_round=300)
  assert sentence.startswith('Epsilon is ')
  assert sentence.endswith('with delta 1e-05, after 100 rounds of 300 of 3,383 clients with noise multiplier 5.')
  assert set(rows) == {mechanism}
  assert [*map(float, rows[mechanism])] == sorted(map(float, rows[mechanism]))
  assert 'in the mean of a round' not in notes


@pytest.mark.parametrize(
  ('changed', 'line'),
  [
    (dict(num_clients=None), '--num_clients is missing: say how many clients a round may draw from'),
    (
      dict(epsilon=2),
      'nothing is left to be found: leave out one of --epsilon, --noise_multiplier, --rounds, --clients_per_round, --delta',
    ),
    (dict(rounds=0), '--epsilon and --rounds are missing, and only one can be found: give the other'),
    (
      dict(rounds=None, noise_multiplier=None, delta=None),
      '--epsilon and --noise_multiplier and --rounds are missing, and only one can be found: give the others',
    ),
    (
      dict(clients_per_round=4000),
      '--clients_per_round=4000 is more than --num_clients=3383: a round draws from the clients there are',
    ),
    (
      dict(modelled_noise_cohort=4000),
      '--modelled_noise_cohort=4000 is more than --num_clients=3383: a round draws from the clients there are',
    ),
    (dict(delta=1), '--delta=1 is no probability between 0 and 1: take less than 1 / --num_clients'),
    (
      dict(noise_multiplier=None, epsilon=0),
      '--epsilon=0 is no positive number: leave it out to have it found',
    ),
    (
      dict(noise_multiplier=None, epsilon=1e-9, mechanism='tree'),
      'no noise multiplier up to 10,000 keeps epsilon at 1e-09 with delta 1e-05: allow a larger epsilon, or take fewer '
      'rounds or fewer clients a round',
    ),
    (
      dict(rounds=None, epsilon=0.01, noise_multiplier=0.5),
      'one round spends epsilon 4.988 already, more than 0.01: allow a larger epsilon, or take a larger noise_multiplier',
    ),
    (
      dict(rounds=None, epsilon=50, noise_multiplier=100),
      '20,000 rounds spend less than epsilon 50: allow a smaller epsilon',
    ),
  ],
)
def test_refuses_in_one_line(changed: dict[str, object], line: str):
  process = binaries.run('experiments.privacy', _arguments(**changed))
  assert process.returncode == 2, process.stderr
  assert not process.stdout
  assert process.stderr == f'error: {line}\n'


def test_an_audit_says_what_it_found_and_what_is_claimed():
  process = binaries.run('experiments.privacy', _arguments(**_AUDIT, upload='uniform(bits=8)'))
  assert process.returncode == 0, process.stderr
  table, said = process.stdout.split('\n\n')
  found = dict(line.rsplit(maxsplit=1) for line in table.splitlines()[2:])
  assert found['canaries'] == '100'
  assert found['guesses'] == '50'
  claimed = accounting.poisson(1.0, 1.0, 2, 1e-5)
  assert float(found['epsilon that is claimed, at most']) == pytest.approx(claimed, rel=1e-3)
  lower_bound = auditing.lower_bound(int(found['right guesses']), 50, 100, 1e-5)
  assert float(found['lower bound on epsilon, at 95% confidence']) == pytest.approx(lower_bound, rel=1e-3)
  assert 0.0 < lower_bound < claimed
  assert said.startswith('The bound is within the claim, both with delta 1e-05.')


def test_a_broken_claim_ends_in_an_error():
  found = auditing.Audit(
    canaries=1000, guesses=500, right=500, delta=1e-5, lower_bound=5.0875, most=5.0875, claimed=4.3772
  )
  assert 'The bound is above the claim' in audits.told(found)
  assert 'no guesses could have broken' not in audits.told(found)
  assert 'it would be 5.088, so that no guesses could have broken the claim' in audits.told(found._replace(claimed=6.0))
  with pytest.raises(
    failures.RunEnded, match=r'the claim is broken: epsilon is at least 5\.088, and at most 4\.377 was'
  ):
    audits.check(found)
  audits.check(found._replace(claimed=5.0875))


@pytest.mark.parametrize(
  ('changed', 'line'),
  [
    (
      dict(privacy=None),
      "--privacy is missing: say what to audit, such as --privacy='gaussian(clip=1, noise_multiplier=1)'",
    ),
    (
      dict(privacy='none'),
      "--privacy is missing: say what to audit, such as --privacy='gaussian(clip=1, noise_multiplier=1)'",
    ),
    (
      dict(privacy='distributed(clip=1, noise_multiplier=1)'),
      'an audit has no secure sum, in which the clients of this kind hide: audit another kind',
    ),
    (dict(rounds=None), '--rounds is missing: an audit needs all of the run'),
    (dict(canaries=201), '--canaries=201 is more than --num_clients=200: canaries are some of these clients'),
    (
      dict(upload='rate_distortion'),
      '--upload=rate_distortion follows votes of clients, which tell of their data: privacy needs another one',
    ),
    (
      dict(privacy='gaussian(clip=1, noise_multiplier=1)', num_clients=10, clients_per_round=5, canaries=10),
      '--privacy: of 10 clients delta would be 0.079: give one, such as delta=1e-5',
    ),
    (
      dict(epsilon=2),
      '--epsilon is of --what=plan, and does not apply to --what=audit: write it into --privacy, which says all of that',
    ),
    (dict(what='plan'), '--privacy is of --what=audit, and does not apply to --what=plan'),
  ],
)
def test_an_audit_refuses_in_one_line(changed: dict[str, object], line: str):
  process = binaries.run('experiments.privacy', _arguments(**_AUDIT | changed))
  assert process.returncode == 2, process.stderr
  assert not process.stdout
  assert process.stderr == f'error: {line}\n'


def test_an_audit_refuses_unknown_codecs():
  process = binaries.run('experiments.privacy', _arguments(**_AUDIT, upload='unifrm'))
  assert process.returncode == 2, process.stderr
  assert process.stderr.startswith("error: unknown upload 'unifrm' (did you mean 'uniform'?)")
