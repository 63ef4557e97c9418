"""Chains become codecs of whole updates, or are refused with the reason."""

from absl.testing import parameterized
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


class ChainTest(parameterized.TestCase):
  def test_every_variable_alone(self):
    groups = chain.build([chain.Identity(), uniform.Uniform(4)]).groups(_SPECS)
    self.assertEqual([group.members for group in groups], [(0,), (1,), (2,)])
    self.assertEqual({str(group.codec) for group in groups}, {'uniform'})

  def test_concat_makes_one_tensor_of_all(self):
    groups = chain.build([chain.Concat(), uniform.Uniform(4)]).groups(_SPECS)
    self.assertEqual([group.members for group in groups], [(0, 1, 2)])
    self.assertEqual(groups[0].spec.shape, [106])

  def test_small_variables_have_a_codec_of_their_own(self):
    small = chain.SmallAs(codec_lib.Codec(), 6)
    groups = chain.build([small, uniform.Uniform(4)]).groups(_SPECS)
    self.assertEqual([(group.members, str(group.codec)) for group in groups], [
      ((0,), 'uniform'), ((1,), 'identity'), ((2,), 'identity'),
    ])  # fmt: skip
    groups = chain.build([small, chain.Concat(), uniform.Uniform(4)]).groups(_SPECS)
    self.assertEqual([group.members for group in groups], [(0,), (1, 2)])

  def test_a_codec_that_adapts_stands_alone(self):
    adaptive = rate_distortion.RateDistortion()
    self.assertIs(chain.build([adaptive]), adaptive)
    with self.assertRaisesRegex(ValueError, 'it stands alone'):
      chain.build([clip.Clip(), adaptive])

  @parameterized.named_parameters(
    ('entropy_coder_on_floats', [rans.Rans()], 'rans encodes levels, but an update is floats'),
    ('two_quantizers', [uniform.Uniform(), uniform.Uniform()], 'uniform encodes floats, but uniform leaves levels'),
    ('rotation_of_levels', [uniform.Uniform(), hadamard.Hadamard()], 'hadamard encodes floats, but uniform leaves'),
    ('two_entropy_coders', [uniform.Uniform(), rans.Rans(), elias_gamma.EliasGamma()], 'but rans leaves bytes'),
    ('too_many_levels', [uniform.Uniform(16), rans.Rans()], 'at most 4096'),
    ('two_codecs_of_small_variables', [chain.SmallAs(codec_lib.Codec(), 6)] * 2, 'small_as is there twice: keep one'),
    ('structure_after_a_stage', [topk.Topk(), chain.Concat()], 'put it before the stages'),
  )
  def test_refuses(self, links, message):
    with self.assertRaisesRegex(ValueError, message):
      chain.build(links)
