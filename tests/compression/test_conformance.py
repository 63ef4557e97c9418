"""Every stage of the catalogue, and chains of them, keep the laws of the conformance kit."""

from collections.abc import Callable
import os
import re

import pytest

from compression import catalog
from tests.compression import conformance
from tests.compression import federated_conformance
from tests.compression.codec_rows import ROWS
from tests.compression.conformance import Row

_STRESS = os.environ.get('LEANFED_STRESS') == '1'
# Other arguments and chains of stages that have a row of their own: rounds treat them alike, in the short form.
_WITHOUT_ROUNDS = (
  'uniform(bits=8)', 'uniform(levels=3)', 'terngrad(clip_stddevs=None)', 'eden(bits=1.5)', 'eden(bits=2.5)|elias_gamma',
  'randk(fraction=0.25)|uniform(bits=8)', 'uniform(levels=3)|rans', 'eden(bits=2.5)|rans',
)  # fmt: skip
_LEARNERS = ('uniform(bits=4)', 'drive', 'hadamard|uniform(bits=4)')  # In the short form.


def _stage_names(row: Row) -> list[str]:
  """Returns the names in the catalogue of the stages of a row."""
  return re.sub(r'\(.*?\)', '', row.name).split(' ')[0].split('|')


@pytest.mark.parametrize('law', conformance.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_codec_keeps_the_law(row: Row, law: Callable[[Row], None]):
  law(row)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('law', federated_conformance.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
  'row', [row for row in ROWS if _STRESS or row.name not in _WITHOUT_ROUNDS], ids=lambda row: row.name
)
def test_codec_keeps_the_law_in_rounds(row: Row, law: Callable[[Row], None]):
  law(row)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'row',
  [row for row in ROWS if _STRESS or row.name in _LEARNERS],
  ids=lambda row: row.name,
)
def test_codec_learns(row: Row):
  federated_conformance.check_learns(row)


def test_every_stage_of_the_catalogue_has_a_row_in_rounds():
  assert {row.name for row in ROWS} >= {*_WITHOUT_ROUNDS, *_LEARNERS}
  in_rounds = [row for row in ROWS if row.name not in _WITHOUT_ROUNDS]
  assert set(catalog.STAGES) - {name for row in in_rounds for name in _stage_names(row)} == set()


@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
def test_row_is_named_for_its_stages(row: Row):
  assert '|'.join(_stage_names(row)).replace('_', '') == str(row.codec())
