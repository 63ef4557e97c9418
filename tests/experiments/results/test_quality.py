"""Since when a run has diverged: by its evaluations, and before them by its training losses."""

import math
from typing import Any

import pytest

from experiments.results import metrics
from experiments.results import quality
from experiments.results import records

_NAN, _INF = math.nan, math.inf


def _rows(text: str, perplexities: bool = True) -> list[dict[str, Any]]:
  """Returns rows of rounds: `t` and `T` trained with a finite loss and NaN, `D` with none; `e` and `E` were evaluated
  alike, and `p` with a finite loss too large for a perplexity.
  """
  rows = []
  for number, sign in enumerate(text):
    row = dict.fromkeys(metrics.COLUMNS) | {'round': number}
    row['train/loss'] = {'T': _NAN, 'D': None}.get(sign, 2.0)
    row['dropped_updates'] = 3 if sign == 'D' else 0
    if sign in 'eEp':
      row |= {'eval/loss': {'e': 2.0, 'E': _NAN, 'p': 1e10}[sign], 'eval/accuracy': 0.5}
      row['eval/perplexity'] = metrics.perplexity(row['eval/loss']) if perplexities else None
    rows.append(row)
  return rows


@pytest.mark.parametrize(
  ('text', 'since'),
  [
    ('ee', None),
    ('eE', 1),
    ('etptp', 2),  # A finite training loss after it does not make an evaluation finite.
    ('etEtE', 2),
    ('etpte', None),
    ('eEeE', 3),
    ('eTTE', 1),
    ('eDDE', 1),
    ('eTtTE', 3),
    ('etE', 2),
    ('eTTe', None),
    ('eD', 1),  # Goes on: not evaluated yet.
    ('eDt', None),
    ('epDt', 1),
    ('Ett', 0),
    ('t', None),
    ('', None),
  ],
)
def test_a_run_has_diverged_since_nothing_it_came_to_is_finite(text: str, since: int | None):
  assert quality.diverged_round(_rows(text)) == since


def test_a_classifier_diverges_by_its_loss():
  assert quality.diverged_round(_rows('eEtE', perplexities=False)) == 1
  assert quality.diverged_round(_rows('epte', perplexities=False)) is None


@pytest.mark.parametrize(
  ('text', 'perplexities', 'said'),
  [
    ('etptp', True, 'diverged: since round 2 no evaluation has a finite perplexity; choose a new --output_dir'),
    ('etptE', True, 'diverged: since round 2 no evaluation has a finite perplexity; choose a new --output_dir'),
    ('eTTE', True, 'diverged: since round 1 no evaluation has a finite perplexity; choose a new --output_dir'),
    ('eEtE', False, 'diverged: since round 1 no evaluation has a finite loss; choose a new --output_dir'),
  ],
)
def test_what_is_said_of_it_is_true(text: str, perplexities: bool, said: str, capsys):
  rows = _rows(text, perplexities)
  records.warn(
    {'diverged_round': quality.diverged_round(rows), 'secure_sum': None}
    | {name: rows[-1][name] for name in ('eval/perplexity', 'eval/loss')}
  )
  assert capsys.readouterr().err.startswith(said)
