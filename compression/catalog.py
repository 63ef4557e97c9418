"""The catalogue of stages: names in `--upload` and `--download` to builders. A new stage is its file and one line here."""

from collections.abc import Callable

from compression import adaptive
from compression import rate_distortion
from compression import stage
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
from compression.stages import tensor_encoding_bridge
from compression.stages import terngrad
from compression.stages import three_lc
from compression.stages import topk
from compression.stages import uniform

STAGES: dict[str, Callable[..., stage.Stage]] = {
  'bfloat16': casts.Bfloat16,
  'clip': clip.Clip,
  'drive': drive.Drive,
  'eden': eden.Eden,
  'elias_gamma': elias_gamma.EliasGamma,
  'float16': casts.Float16,
  'hadamard': hadamard.Hadamard,
  'qsgd': qsgd.Qsgd,
  'randk': randk.Randk,
  'rans': rans.Rans,
  'sign': sign.Sign,
  'terngrad': terngrad.Terngrad,
  'three_lc': three_lc.ThreeLc,
  'topk': topk.Topk,
  'uniform': uniform.Uniform,
}

# Codecs of a whole update whose parameter follows the clients' votes; they stand alone.
ADAPTIVE: dict[str, Callable[..., adaptive.AdaptiveCodec]] = {
  'rate_distortion': rate_distortion.RateDistortion,
}

# Schemes of the ecosystem's `tensor_encoding`, wrapped. They round by random numbers of their own, not by our seeds.
WRAPPED: dict[str, Callable[..., stage.Stage]] = {
  'tensor_encoding': tensor_encoding_bridge.TensorEncoding,
}
