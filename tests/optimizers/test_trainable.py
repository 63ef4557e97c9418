"""What a policy answers is checked before anything is built on it."""

import pytest

from models import transformer
from optimizers import policies

_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=1, num_heads=2)(50)


class _OneFlag(policies.All):
  def choose(self, model, seeds):
    return [True]


def test_a_policy_that_chooses_for_other_variables_is_refused():
  wanted = f'policy _OneFlag chooses for 1 variables, but the model has {len(_MODEL.variables)}: choose has to return'
  with pytest.raises(ValueError, match=wanted):
    _OneFlag().flags_known_when_traced(_MODEL, 0)
  assert policies.All().flags_known_when_traced(_MODEL, 0) == [True] * len(_MODEL.variables)
