"""Chains become codecs of whole updates, or are refused with the reason."""

import pytest
import tensorflow as tf

from compression import chain
from compression import codec as codec_lib
from compression import rate_distortion
from compression.stages import clip
from compression.stages import elias_gamma
from compression.stages import hadamard
from compression.stages import rans
from compression.stages import topk
from compression.stages import uniform

_SPECS = [tf.TensorSpec([10, 10]), tf.TensorSpec([5]), tf.TensorSpec([])]


def test_every_variable_alone():
  groups = chain.build([chain.Identity(), uniform.Uniform(4)]).groups(_SPECS)
  assert [group.members for group in groups] == [(0,), (1,), (2,)]
  assert {str(group.codec) for group in groups} == {'uniform'}


def test_concat_makes_one_tensor_of_all():
  groups = chain.build([chain.Concat(), uniform.Uniform(4)]).groups(_SPECS)
  assert [group.members for group in groups] == [(0, 1, 2)]
  assert groups[0].spec.shape == [106]


def test_small_variables_have_a_codec_of_their_own():
  small = chain.SmallAs(codec_lib.Codec(), 6)
  groups = chain.build([small, uniform.Uniform(4)]).groups(_SPECS)
  assert ([(group.members, str(group.codec)) for group in groups] == [
    ((0,), 'uniform'), ((1,), 'identity'), ((2,), 'identity'),
  ])  # fmt: skip
  groups = chain.build([small, chain.Concat(), uniform.Uniform(4)]).groups(_SPECS)
  assert [group.members for group in groups] == [(0,), (1, 2)]


def test_a_codec_that_adapts_stands_alone():
  adaptive = rate_distortion.RateDistortion()
  assert chain.build([adaptive]) is adaptive
  with pytest.raises(ValueError, match='it stands alone'):
    chain.build([clip.Clip(), adaptive])


@pytest.mark.parametrize(
  ('links', 'message'),
  [
    pytest.param([rans.Rans()], 'rans encodes levels, but an update is floats', id='entropy_coder_on_floats'),
    pytest.param(
      [uniform.Uniform(), uniform.Uniform()], 'uniform encodes floats, but uniform leaves levels', id='two_quantizers'
    ),
    pytest.param(
      [uniform.Uniform(), hadamard.Hadamard()], 'hadamard encodes floats, but uniform leaves', id='rotation_of_levels'
    ),
    pytest.param(
      [uniform.Uniform(), rans.Rans(), elias_gamma.EliasGamma()], 'but rans leaves bytes', id='two_entropy_coders'
    ),
    pytest.param([uniform.Uniform(16), rans.Rans()], 'at most 4096', id='too_many_levels'),
    pytest.param(
      [chain.SmallAs(codec_lib.Codec(), 6)] * 2, 'small_as is there twice: keep one', id='two_codecs_of_small_variables'
    ),
    pytest.param([topk.Topk(), chain.Concat()], 'put it before the stages', id='structure_after_a_stage'),
  ],
)
def test_refuses(links, message):
  with pytest.raises(ValueError, match=message):
    chain.build(links)
