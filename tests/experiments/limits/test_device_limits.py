"""Limits of devices: what is refused, and what a device can bear."""

import pytest

from experiments.command import failures
from experiments.command import spec
from experiments.limits import device_limits
from optimizers import client_costs

_COST = client_costs.ClientCost(modelled_memory_bytes=8e6, upload_bytes=1_000_000, flops=2e9)


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('alike', 'write tiers(shares=[...], memory_mb=[...], upload_mb=[...], gflops=[...])'),
    ('tiers(memory_mb=[1])', 'shares must be positive and sum to 1, not []'),
    ('tiers(shares=[0.5, 0.4], memory_mb=[1, 2])', 'shares must be positive and sum to 1, not [0.5, 0.4]'),
    ('tiers(shares=[0.5, 0.5], memory_mb=[1])', 'memory_mb must be a list of 2 values, one for each tier'),
    ('tiers(shares=[1.0], memory_gb=[1])', "'memory_gb' is no limit; limits are memory_mb, upload_mb, gflops"),
    ('tiers(shares=[1.0], gflops=[0])', 'gflops holds 0, which is no number above 0'),
    ('tiers(shares=[1.0], gflops=["1"])', "gflops holds '1', which is no number above 0"),
    ('tiers(shares=[1.0])|tiers(shares=[1.0])', 'write tiers(shares=[...]'),
  ],
)
def test_what_is_no_list_of_limits_is_refused(text, message):
  with pytest.raises(spec.SpecError) as caught:
    device_limits.build(text)
  assert message in str(caught.value) and '\n' not in str(caught.value)


def test_each_tier_has_its_limits():
  weak, strong = device_limits.build('tiers(shares=[0.25, 0.75], memory_mb=[4, 10], gflops=[3, 9])')
  assert (weak.number, weak.share, weak.limits) == (0, 0.25, dict(memory_mb=4.0, gflops=3.0))
  assert (strong.number, strong.share, strong.limits) == (1, 0.75, dict(memory_mb=10.0, gflops=9.0))
  assert weak.exceeded(_COST) == ['8 MB of memory where memory_mb allows 4']
  assert not strong.exceeded(_COST)


def test_a_limit_that_is_just_met_is_met():
  assert not device_limits.build('tiers(shares=[1.0], memory_mb=[8], upload_mb=[1], gflops=[2])')[0].exceeded(_COST)
  found = device_limits.build('tiers(shares=[1.0], upload_mb=[0.9], gflops=[1.9])')[0].exceeded(_COST)
  assert found == ['1 MB of upload where upload_mb allows 0.9', '2 GFLOP of operations where gflops allows 1.9']


def test_uploads_of_varying_size_have_no_limit():
  (tier,) = device_limits.build('tiers(shares=[1.0], upload_mb=[1])')
  with pytest.raises(failures.UsageError, match='leave out entropy coders'):
    tier.exceeded(_COST._replace(upload_bytes=None))
  assert not tier._replace(limits=dict(gflops=2.0)).exceeded(_COST._replace(upload_bytes=None))
