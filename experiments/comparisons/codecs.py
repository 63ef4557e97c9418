"""The measurements behind `--what=codecs`: bytes against distortion on a real update, quality against bytes over runs."""

from collections.abc import Sequence
import pathlib
import statistics
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from compression import codec as codec_lib
from compression import update_codec as update_codec_lib
from experiments.command import codec_specs
from experiments.comparisons import finished_runs
from experiments.results import markdown_table

_SEED = tf.constant([1, 2], tf.int64)

CODECS = (
  'identity', 'float16', 'bfloat16', 'uniform(bits=8)', 'uniform(bits=6)', 'uniform(bits=4)', 'uniform(bits=2)',
  'clip|uniform(bits=4)', 'clip|uniform(bits=2)', 'hadamard|uniform(bits=8)', 'hadamard|uniform(bits=4)',
  'hadamard|uniform(bits=2)', 'uniform(bits=8)|rans', 'uniform(bits=4)|rans', 'uniform(bits=4)|elias_gamma',
  'eden(bits=4)', 'eden(bits=2)', 'eden(bits=1)', 'drive', 'sign', 'terngrad', 'terngrad(clip_stddevs=None)',
  'qsgd(num_steps=7)', 'qsgd(num_steps=7)|elias_gamma', 'three_lc', 'three_lc(sparsity=1.75)', 'topk(fraction=0.1)',
  'topk(fraction=0.01)', 'topk(fraction=0.1)|uniform(bits=8)', 'randk(fraction=0.1)', 'concat|uniform(bits=8)',
)  # fmt: skip


class Point(NamedTuple):
  """One codec on one update: bits a parameter on the wire, and squared error over squared values."""

  codec: str
  bits_per_parameter: float
  distortion: float


class Quality(NamedTuple):
  """One codec over the seeds of its runs: megabytes uploaded, and perplexities, one a seed."""

  codec: str
  megabytes: float
  perplexities: tuple[float, ...]


def measure_update(update: Sequence[np.ndarray], specs: Sequence[str]) -> list[Point]:
  """Encodes and decodes a client's update with each codec.

  Args:
    update: float32 arrays, one a variable.
    specs: Codecs.

  Returns:
    A point for each spec, in order.
  """
  return [_measure([tf.constant(array) for array in update], spec) for spec in specs]


def _measure(tensors: list[tf.Tensor], spec: str) -> Point:
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
  return Point(spec, 8 * int(num_bytes) / num_values, float(error / norm))


def read_runs(folder: pathlib.Path) -> list[Quality]:
  """Gathers finished runs below `folder` by their `--upload`, fewest megabytes first.

  Raises:
    UsageError: As `finished_runs.read`.
  """
  qualities = [
    Quality(
      upload,
      statistics.mean(run.summary['upload_bytes_total'] for run in runs) / 1e6,
      tuple(run.summary['eval/perplexity'] for run in runs),
    )
    for (upload,), runs in finished_runs.read(folder, ['upload']).items()
  ]
  return sorted(qualities, key=lambda quality: quality.megabytes)


def points_table(points: Sequence[Point]) -> str:
  """Renders points as a Markdown table, fewest bits first."""
  rows = (
    [f'`{point.codec}`', f'{point.bits_per_parameter:.3f}', f'{point.distortion:.3g}']
    for point in sorted(points, key=lambda point: point.bits_per_parameter)
  )
  return markdown_table.render(['codec', 'bits a parameter', 'distortion'], rows)


def quality_table(qualities: Sequence[Quality]) -> str:
  """Renders qualities as a Markdown table with every seed's perplexity."""
  rows = []
  for quality in qualities:
    values = quality.perplexities
    spread = statistics.stdev(values) if len(values) > 1 else float('nan')
    seeds = ', '.join(f'{value:.1f}' for value in values)
    numbers = [f'{value:.1f}' for value in (quality.megabytes, statistics.mean(values), spread)]
    rows.append([f'`{quality.codec}`', *numbers, seeds])
  header = ['upload', 'MB uploaded', 'perplexity, mean', 'standard deviation', 'each seed']
  return markdown_table.render(header, rows)


def plot(points: Sequence[Point], qualities: Sequence[Quality], path: pathlib.Path) -> None:
  """Draws both comparisons side by side as a PNG; a comparison without data is left out."""
  import matplotlib  # Slow to import, and needed once, at the end.

  matplotlib.use('Agg')
  from matplotlib import pyplot

  panels = []
  if points:
    rows = [(point.codec, point.bits_per_parameter, [point.distortion]) for point in points]
    panels.append((rows, 'bits a parameter', 'squared error / squared norm of a real update'))
  if qualities:
    rows = [(quality.codec, quality.megabytes, quality.perplexities) for quality in qualities]
    panels.append((rows, 'megabytes uploaded, all clients', 'perplexity on held-out clients (bars: all seeds)'))
  figure, axes = pyplot.subplots(1, len(panels), figsize=(7 * len(panels), 8), layout='constrained', squeeze=False)
  for panel, (rows, xlabel, ylabel) in zip(axes[0], panels, strict=True):
    _scatter(panel, rows)
    panel.set(xlabel=xlabel, ylabel=ylabel, yscale='log')
  figure.savefig(path, dpi=110)
  pyplot.close(figure)


def _scatter(axes: Any, rows: Sequence[tuple[str, float, Sequence[float]]]) -> None:
  for index, (name, x, values) in enumerate(rows):
    middle = statistics.mean(values)
    bars = [[middle - min(values)], [max(values) - middle]]
    marker = 'osv^D*PX'[index // 10 % 8]
    axes.errorbar([x], [middle], yerr=bars, marker=marker, linestyle='', capsize=3, label=name)
  axes.set_xscale('log')
  axes.grid(alpha=0.3, which='both')
  axes.legend(fontsize=7, ncols=3, loc='upper center', bbox_to_anchor=(0.5, -0.12))
