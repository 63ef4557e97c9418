"""The measurements behind `--what=codecs`: bytes against distortion on a real update, quality against bytes over runs."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from compression import codec as codec_lib
from compression import update_codec as update_codec_lib
from experiments.command import codec_specs
from experiments.command import spec_list
from experiments.comparisons import megabytes
from experiments.comparisons import runs
from experiments.comparisons import varied_flags
from experiments.results import markdown_table

ALL = 'all'
_SEED = np.array([1, 2], np.int64)  # No tensor: TensorFlow would start when this is imported.

CODECS = (
  'identity', 'float16', 'bfloat16', 'uniform(bits=8)', 'uniform(bits=6)', 'uniform(bits=4)', 'uniform(bits=2)',
  'clip|uniform(bits=4)', 'clip|uniform(bits=2)', 'hadamard|uniform(bits=8)', 'hadamard|uniform(bits=4)',
  'hadamard|uniform(bits=2)', 'uniform(bits=8)|rans', 'uniform(bits=4)|rans', 'uniform(bits=4)|elias_gamma',
  'eden(bits=4)', 'eden(bits=2)', 'eden(bits=1)', 'drive', 'sign', 'terngrad', 'terngrad(clip_stddevs=None)',
  'qsgd(num_steps=7)', 'qsgd(num_steps=7)|elias_gamma', 'three_lc', 'three_lc(sparsity=1.75)', 'topk(fraction=0.1)',
  'topk(fraction=0.01)', 'topk(fraction=0.1)|uniform(bits=8)', 'randk(fraction=0.1)', 'concat|uniform(bits=8)',
)  # fmt: skip


class CodecPoint(NamedTuple):
  """One codec on one update: bits a parameter on the wire, squared error over squared values, and the payload's bytes."""

  codec: str
  bits_per_parameter: float
  distortion: float
  upload_bytes: int


def listed(text: str | Sequence[Any]) -> dict[str, Any]:
  """Returns the codecs of a list by name, where `ALL` stands for `CODECS`; raises `SpecError` as `spec_list.read`."""
  return spec_list.read(text, 'codecs', codec_specs.build, {ALL: CODECS})


def measure_update(update: Sequence[np.ndarray], specs: Mapping[str, Any]) -> list[CodecPoint]:
  """Encodes and decodes a client's update with each codec.

  Args:
    update: float32 arrays, one a variable.
    specs: Codecs, by name.

  Returns:
    A point for each codec, in order.
  """
  return [_measure([tf.constant(array) for array in update], name, spec) for name, spec in specs.items()]


def _measure(tensors: list[tf.Tensor], name: str, spec: Any) -> CodecPoint:
  codec = codec_specs.build(spec)
  if not isinstance(codec, update_codec_lib.UpdateCodec):
    codec = codec.at(tf.constant(codec.initial_parameter))
  tensor_specs = [tf.TensorSpec.from_tensor(tensor) for tensor in tensors]

  @tf.function(autograph=False)
  def measure(*values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    sent = codec.encode(list(values), tf.fill([len(values)], True), _SEED, _SEED)
    return codec_lib.num_bytes([sent.payloads]), codec.squared_error(list(values), sent, tensor_specs, _SEED)

  num_bytes, (error, norm) = measure(*tensors)
  num_values = sum(spec.shape.num_elements() for spec in tensor_specs)
  return CodecPoint(name, 8 * int(num_bytes) / num_values, float(error / norm), int(num_bytes))


def observed(points: Sequence[CodecPoint], folder: str) -> list[dict[str, Any]]:
  """Returns points, measured on an update of the run in a folder, as rows of `observations`."""
  return [{'upload': point.codec, 'folder': folder} | point._asdict() for point in points]


def read_runs(patterns: Sequence[str]) -> list[runs.Group]:
  """Gathers finished runs that differ in `--upload` and the seed only, fewest megabytes first; raises as `varied_flags.read`."""
  return varied_flags.read(patterns, ['upload'])[::-1]


def points_table(points: Sequence[CodecPoint]) -> str:
  """Renders points as a Markdown table, fewest bits first."""
  rows = (
    [f'`{point.codec}`', f'{point.bits_per_parameter:.3f}', f'{point.distortion:.3g}']
    for point in sorted(points, key=lambda point: point.bits_per_parameter)
  )
  return markdown_table.render(['codec', 'bits a parameter', 'distortion'], rows)


def quality_table(groups: Sequence[runs.Group]) -> str:
  """Renders groups of `read_runs` as a Markdown table with every seed's perplexity."""
  rows = (
    [f'`{_upload(group)}`', megabytes.text(group.spread(runs.upload_bytes).mean), *varied_flags.perplexity_cells(group)]
    for group in groups
  )
  return markdown_table.render(['upload', 'MB uploaded', *varied_flags.PERPLEXITY_COLUMNS], rows)


def _upload(group: runs.Group) -> str:
  return group.runs[0].settings['upload']
