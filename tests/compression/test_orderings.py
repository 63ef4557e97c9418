"""Which codec loses less: normalised squared errors of quantizers on heavy-tailed values.

The values are 131,072 draws of Student's t with 4 degrees of freedom, with tails as heavy as those of updates. A codec
that spans their range wastes its levels on the few largest; clipping or a rotation mends that. Expected magnitudes are of
other draws, whose largest value was another, hence the wide tolerance where the range decides.
"""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import clip
from compression.stages import drive
from compression.stages import eden
from compression.stages import hadamard
from compression.stages import terngrad
from compression.stages import uniform

_VALUES = np.random.default_rng(0).standard_t(4, 2**17).astype(np.float32)
_CODECS = {
  'drive': (drive.Drive(),),
  'eden_2': (eden.Eden(2),),
  'eden_4': (eden.Eden(4),),
  'terngrad_clipped': (terngrad.Terngrad(),),
  'terngrad': (terngrad.Terngrad(None),),
  'clip_terngrad': (clip.Clip(2.5), terngrad.Terngrad(None)),
}
_CODECS |= {f'uniform_{bits}': (uniform.Uniform(bits),) for bits in (2, 4, 6, 8, 12)}
_CODECS |= {f'clip_uniform_{bits}': (clip.Clip(2.5), uniform.Uniform(bits)) for bits in (2, 4, 8)}
_CODECS |= {f'hadamard_uniform_{bits}': (hadamard.Hadamard(), uniform.Uniform(bits)) for bits in (2, 4)}


@functools.cache
def _error(name: str) -> float:
  """Returns the squared error over the squared norm."""
  codec, seed = codec_lib.Codec(_CODECS[name]), tf.constant([1, 2], tf.int64)
  decoded = codec.decode(codec.encode(tf.constant(_VALUES), seed, seed), tf.TensorSpec(_VALUES.shape), seed)
  return np.sum(np.square(decoded.numpy() - _VALUES, dtype=np.float64)) / np.sum(np.square(_VALUES, dtype=np.float64))


@pytest.mark.parametrize(
  'names',
  [
    pytest.param('uniform_12 uniform_8 uniform_6 uniform_4 uniform_2', id='more_bits_lose_less'),
    pytest.param('clip_uniform_8 clip_uniform_4 clip_uniform_2', id='more_bits_lose_less_after_clipping'),
    pytest.param('clip_uniform_2 terngrad_clipped terngrad uniform_2', id='clipping_decides_at_two_bits'),
    pytest.param('uniform_8 clip_uniform_8 clip_uniform_4 uniform_4', id='clipping_pays_at_four_bits_but_not_at_eight'),
    pytest.param('hadamard_uniform_4 clip_uniform_4 uniform_4', id='rotation_pays_more_than_clipping_at_four_bits'),
    pytest.param('clip_uniform_2 hadamard_uniform_2 uniform_2', id='rotation_alone_is_not_enough_at_two_bits'),
    pytest.param('eden_4 hadamard_uniform_4', id='best_levels_after_rotation_lose_least'),
    pytest.param('eden_4 eden_2 drive terngrad_clipped', id='eden_improves_on_drive'),
  ],
)
def test_ascending(names):
  errors = {name: _error(name) for name in names.split()}
  values = list(errors.values())
  assert all(less < more for less, more in itertools.pairwise(values)), errors


def test_ternary_levels_lose_the_same_by_either_road():
  np.testing.assert_allclose(_error('clip_terngrad'), _error('terngrad_clipped'), rtol=0.02)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('uniform_12', 2.4e-5),
    ('uniform_8', 6.1e-3),
    ('uniform_6', 0.1),
    ('uniform_4', 1.84),
    ('uniform_2', 32.0),
    ('terngrad', 24.0),
  ],
)
def test_magnitude_where_the_range_decides(name, expected):
  assert expected / 2 <= _error(name) <= 2 * expected


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('clip_uniform_8', 0.076),
    ('clip_uniform_4', 0.095),
    ('clip_uniform_2', 0.54),
    ('terngrad_clipped', 0.971),
    ('drive', np.pi / 2 - 1),  # Of normal values, which rotated values resemble; so are the next two.
    ('eden_2', 0.1175 / (1 - 0.1175)),  # Lloyd and Max's error d; scaled to be unbiased, d / (1 - d).
    ('eden_4', 0.0095 / (1 - 0.0095)),
  ],
)
def test_magnitude(name, expected):
  np.testing.assert_allclose(_error(name), expected, rtol=0.1)
