"""A binary takes the flags of a run that mean something there; the others it neither shows nor obeys."""

import pytest

from experiments.command import failures
from experiments.federated import run_flags


def _table():
  """All flags but `devices`, with another default of `rounds`."""
  return run_flags.take('b', without=dict(devices='all are alike'), rounds=(7, 'Seven.'))


def test_shows_what_it_takes():
  table = _table()
  assert 'devices' not in table.shown() and table.read({})['devices'] == 'alike'
  assert set(table.shown()) == {*table.read({}), 'version'} - {'devices'}
  assert '--devices' not in table.help_text() and '--seed' in table.help_text()
  assert table.read({})['rounds'] == 7 and 'Seven.' in table.help_text()


def test_another_binary_has_its_own():
  _table()
  assert run_flags.take('c').read({})['rounds'] == 100


def test_refuses_the_others_with_the_reason():
  table = _table()
  assert table.read({'devices': 'alike'})['devices'] == 'alike'
  with pytest.raises(failures.UsageError, match=r'--devices=tiers.* does not apply: all are alike'):
    table.read({'devices': 'tiers(shares=[1.0])'})
