"""A binary takes the flags of a run that mean something there; the others it neither shows nor obeys."""

import sys
import types

from absl import flags
from absl.testing import flagsaver
import pytest

from experiments.command import failures
from experiments.federated import run_flags


@pytest.fixture
def binary(monkeypatch):
  """The name of a module that takes all flags but `devices`, with another default of `rounds`."""
  module = types.ModuleType('binary_without_devices')
  monkeypatch.setitem(sys.modules, module.__name__, module)
  monkeypatch.setattr(run_flags, '_reasons', {})
  module.take = run_flags.take
  with flagsaver.flagsaver():
    exec('take(without=dict(devices="all are alike"), rounds=(7, "Seven."))', module.__dict__)
    yield module.__name__


def test_shows_what_it_takes(binary):
  shown = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(binary)}
  assert shown == {*run_flags.values(), 'version'} - {'devices'}
  assert 'devices' in run_flags.values() and '--devices' not in flags.FLAGS.module_help(binary)
  assert flags.FLAGS['rounds'].default == 7 and 'Seven.' in flags.FLAGS.module_help(binary)


def test_refuses_the_others_with_the_reason(binary):
  del binary
  flags.FLAGS.devices = 'alike'
  run_flags.values()
  flags.FLAGS.devices = 'tiers(shares=[1.0])'
  with pytest.raises(failures.UsageError, match=r'--devices=tiers.* does not apply: all are alike'):
    run_flags.values()
