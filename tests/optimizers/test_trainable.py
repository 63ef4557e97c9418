"""What a policy answers is checked before anything is built on it."""

import numpy as np
import pytest

from models import transformer
from optimizers import policies

_MODEL = transformer.transformer(width=8, mlp_width=16, num_layers=1, num_heads=2)(50)


class _Flags(policies.All):
  def __init__(self, flags):
    self._flags = flags

  def choose(self, model, seeds):
    return self._flags


def test_a_policy_that_chooses_for_other_variables_is_refused():
  for flags, chosen in (([True], 'for 1 variables'), (None, 'by NoneType'), (True, 'by bool')):
    wanted = f'_Flags chooses {chosen}, but the model has {len(_MODEL.variables)} variables: choose has to return'
    with pytest.raises(ValueError, match=wanted):
      _Flags(flags).flags_known_when_traced(_MODEL, 0)
  assert _Flags(np.zeros(len(_MODEL.variables), bool)).flags_known_when_traced(_MODEL, 0) == [False] * len(
    _MODEL.variables
  )
  assert policies.All().flags_known_when_traced(_MODEL, 0) == [True] * len(_MODEL.variables)
