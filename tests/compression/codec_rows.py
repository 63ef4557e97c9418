"""What each codec of the catalogue promises, and chains of them: a row each. A new stage has a row here."""

from collections.abc import Callable
import functools

import numpy as np

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import casts
from compression.stages import clip
from compression.stages import drive
from compression.stages import eden
from compression.stages import elias_gamma
from compression.stages import hadamard
from compression.stages import qsgd
from compression.stages import randk
from compression.stages import rans
from compression.stages import sign
from compression.stages import terngrad
from compression.stages import three_lc
from compression.stages import topk
from compression.stages import uniform
from tests.compression.conformance import Row


def _steps(num_steps: int) -> Callable[[np.ndarray], float]:
  """Each value may be off by a step of the range."""
  return lambda x: x.size * (np.ptp(x) / num_steps) ** 2


def _limit(x: np.ndarray) -> float:
  """2.5 standard deviations, which the stage computes in float32: bounds allow for a per cent."""
  return 2.5 * np.std(x) if np.std(x) > 2e-3 * np.sqrt(np.mean(x**2)) else np.inf


def _clipped(x: np.ndarray) -> float:
  """What is cut off."""
  return np.sum(np.maximum(np.abs(x) - _limit(x), 0) ** 2)


def _ternary_clipped(x: np.ndarray) -> float:
  """Below the limit, off by the scale; above it, by what is cut off."""
  scale = min(np.max(np.abs(x)), 1.01 * _limit(x))
  return np.sum(np.maximum(scale, np.abs(x) - 0.99 * scale) ** 2)


def _dropped(x: np.ndarray) -> float:
  """All but the 6 = round(0.1 * 64) largest values."""
  return np.sum(np.sort(x**2)[:-6])


ROWS = (
  Row('identity', lambda: (), 4000 + 24, unbiased=True, error_bound=lambda x: 0.0, deterministic=True, rounding=0.0),
  Row('uniform(bits=8)', lambda: (uniform.Uniform(8),), (1000 + 8) + (6 + 8), unbiased=True, error_bound=_steps(255)),
  Row('uniform(bits=4)', lambda: (uniform.Uniform(4),), (500 + 8) + (3 + 8), unbiased=True, error_bound=_steps(15)),
  Row(
    'uniform(levels=3)',
    lambda: (uniform.Uniform(levels=3),),
    (200 + 8) + (2 + 8),
    unbiased=True,
    error_bound=_steps(2),
  ),
  Row(
    'clip',
    lambda: (clip.Clip(),),
    4000 + 24,
    unbiased=False,
    error_bound=lambda x: 1.05 * _clipped(x) + 1e-4 * x @ x,
    deterministic=True,
  ),
  Row(
    'float16',
    lambda: (casts.Float16(),),
    2000 + 12,
    unbiased=False,
    error_bound=lambda x: np.sum((np.maximum(np.abs(x) * 2.0**-11, 2.0**-25) + np.maximum(np.abs(x) - 65504, 0)) ** 2),
    deterministic=True,
  ),
  Row(
    'bfloat16',
    lambda: (casts.Bfloat16(),),
    2000 + 12,
    unbiased=False,
    error_bound=lambda x: x @ x * 2.0**-16,
    deterministic=True,
  ),
  Row('terngrad', lambda: (terngrad.Terngrad(),), (200 + 4) + (2 + 4), unbiased=False, error_bound=_ternary_clipped),
  Row(
    'terngrad(clip_stddevs=None)',
    lambda: (terngrad.Terngrad(None),),
    (200 + 4) + (2 + 4),
    unbiased=True,
    error_bound=lambda x: x.size * np.max(x**2),
  ),
  Row(
    'qsgd', lambda: (qsgd.Qsgd(7),), (500 + 4) + (3 + 4), unbiased=True, error_bound=lambda x: x.size * (x @ x) / 7**2
  ),
  Row(
    'sign',
    lambda: (sign.Sign(),),
    (125 + 4) + (1 + 4),
    unbiased=False,
    error_bound=lambda x: np.sum((np.abs(x) - np.mean(np.abs(x))) ** 2),
    deterministic=True,
  ),
  Row(
    'three_lc',
    lambda: (three_lc.ThreeLc(),),
    (79 + 4) + (2 + 4),  # 200 and 2 bytes without their runs of zeros; 79 is measured, it depends on the values.
    unbiased=False,
    error_bound=lambda x: x.size * np.max(x**2) / 4,
    deterministic=True,
    fixed_size=False,
  ),
  # 6 values are padded to 8; 1,000 = 512 + 256 + 128 + 64 + 32 + 8 are not padded.
  Row(
    'hadamard', lambda: (hadamard.Hadamard(),), 4000 + 32, unbiased=True, error_bound=lambda x: 0.0, deterministic=True
  ),
  # A scale for each of the 6 buckets, and one for that of 8. At worst x is a row of the rotation, and one value remains.
  Row(
    'drive', lambda: (drive.Drive(),), (125 + 6 * 4 + 4) + (1 + 4 + 4), unbiased=False, error_bound=lambda x: 63 * x @ x
  ),
  # At worst 0.74 = |z - c| / |z|: no z is above 8, and 2.73 is the last of 16 centroids.
  Row(
    'eden(bits=4)',
    lambda: (eden.Eden(4),),
    (500 + 6 * 4 + 4) + (4 + 4 + 4),
    unbiased=False,
    error_bound=lambda x: 1.2 * x @ x,
  ),
  # A bit for each value, and for every second one more: 125 and 63 bytes, and of 8 values 12 bits.
  Row(
    'eden(bits=1.5)',
    lambda: (eden.Eden(1.5),),
    (188 + 6 * 4 + 4) + (2 + 4 + 4),
    unbiased=False,
    error_bound=lambda x: 63 * x @ x,
  ),
  # Drawn values are twice too large: 500 = 256 + 128 + 64 + 32 + 16 + 4, and 3, padded to 4.
  Row(
    'eden(bits=0.5)',
    lambda: (eden.Eden(0.5),),
    (63 + 6 * 4 + 4) + (1 + 4 + 4),
    unbiased=False,
    error_bound=lambda x: (1 + 2 * 8) ** 2 * x @ x,
  ),
  # 100 values, 2 low bits of as many positions and 100 + 900 / 4 = 325 bits; one value, and a bit for each of 6.
  Row(
    'topk(fraction=0.1)',
    lambda: (topk.Topk(0.1),),
    (400 + 25 + 41) + (4 + 1),
    unbiased=False,
    error_bound=_dropped,
    deterministic=True,
  ),
  # Kept values are four times too large.
  Row(
    'randk(fraction=0.25)',
    lambda: (randk.Randk(0.25),),
    (1000 + 4) + (8 + 4),
    unbiased=True,
    error_bound=lambda x: 9 * x @ x,
  ),
  Row(
    'randk(fraction=0.25, shared=True)',
    lambda: (randk.Randk(0.25, shared=True),),
    1000 + 8,
    unbiased=True,
    error_bound=lambda x: 9 * x @ x,
    deterministic=True,
    shares_draw=True,
  ),
  Row(
    'hadamard|uniform(bits=4)',
    lambda: (hadamard.Hadamard(), uniform.Uniform(4)),
    (500 + 8) + (4 + 8),
    unbiased=True,
    error_bound=lambda x: x.size * 2 * (x @ x) / 15**2,
  ),
  Row(
    'topk(fraction=0.1)|uniform(bits=8)',
    lambda: (topk.Topk(0.1), uniform.Uniform(8)),
    (100 + 25 + 41 + 8) + (1 + 1 + 8),
    unbiased=False,
    error_bound=lambda x: _dropped(x) + 6 * (np.ptp(x) / 255) ** 2,
  ),
  Row(
    'randk(fraction=0.25)|uniform(bits=8)',
    lambda: (randk.Randk(0.25), uniform.Uniform(8)),
    (250 + 8 + 4) + (2 + 8 + 4),
    unbiased=True,
    error_bound=lambda x: (3 * np.linalg.norm(x) + 4 * 4 * np.ptp(np.append(x, 0)) / 255) ** 2,
  ),
  Row(
    'uniform(bits=4)|elias_gamma',
    lambda: (uniform.Uniform(4), elias_gamma.EliasGamma()),
    (472 + 8 + 4) + (6 + 8 + 4),  # 472 and 6 are measured, they depend on the values; centre and count take 4.
    unbiased=True,
    error_bound=_steps(15),
    fixed_size=False,
  ),
  Row(
    'uniform(bits=4)|rans',
    lambda: (uniform.Uniform(4), rans.Rans()),
    (426 + 8) + (1 + 3 + 8),  # 426 is measured, it depends on the values; 6 values are packed behind a byte of mode.
    unbiased=True,
    error_bound=_steps(15),
    fixed_size=False,
  ),
  Row(
    'uniform(levels=3)|rans',
    lambda: (uniform.Uniform(levels=3), rans.Rans()),
    (139 + 8) + (1 + 2 + 8),  # 139 is measured, it depends on the values.
    unbiased=True,
    error_bound=_steps(2),
    fixed_size=False,
  ),
  Row(
    'eden(bits=2.5)|elias_gamma',
    lambda: (eden.Eden(2.5), elias_gamma.EliasGamma()),
    (399 + 6 * 4 + 4 + 4) + (4 + 4 + 4 + 4),  # 399 and 4 are measured, they depend on the values.
    unbiased=False,
    error_bound=lambda x: 63 * x @ x,
    fixed_size=False,
  ),
  Row(
    'eden(bits=2.5)|rans',
    lambda: (eden.Eden(2.5), rans.Rans()),
    # Packed behind a byte of mode: 1,000 and 250 levels of 2 bits, 8 and 2.
    (1 + 313 + 6 * 4 + 4) + (1 + 3 + 4 + 4),
    unbiased=False,
    error_bound=lambda x: 63 * x @ x,
    fixed_size=False,
  ),
  Row(
    'uniform(bits=4) concatenated',
    lambda: (uniform.Uniform(4),),
    503 + 8,
    unbiased=True,
    error_bound=_steps(15),
    wrap=functools.partial(update_codec.UpdateCodec, concatenate=True),
  ),
  Row(
    'hadamard|qsgd concatenated, with small variables in float16',
    lambda: (hadamard.Hadamard(), qsgd.Qsgd(7)),
    (500 + 4) + 2 * 6,
    unbiased=True,
    error_bound=lambda x: x.size * (x @ x) / 7**2,
    wrap=lambda codec: update_codec.UpdateCodec(codec, codec_lib.Codec([casts.Float16()]), 10, True),
  ),
)
