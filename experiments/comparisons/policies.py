"""The measurements behind `--what=policies`: quality against the part of the model that clients trained, over runs."""

from collections.abc import Sequence
import pathlib
import re
import statistics
from typing import Any
from typing import NamedTuple

from experiments.comparisons import finished_runs
from experiments.results import markdown_table

_COLUMNS = (
  'model', 'trainable', 'download', 'trained fraction', 'MB up', 'MB down', 'perplexity, mean', 'standard deviation',
  'each seed',
)  # fmt: skip


class PolicyQuality(NamedTuple):
  """One policy on one model, over the seeds of its runs.

  Attributes:
    model: `--model`.
    trainable: `--trainable`.
    download: `--download`.
    trained_fraction: Mean over clients, rounds and seeds of the fraction of parameters that a client trained.
    upload_megabytes: Of all clients and rounds, mean over seeds; `download_megabytes` likewise.
    download_megabytes: See `upload_megabytes`.
    perplexities: One a seed.
  """

  model: str
  trainable: str
  download: str
  trained_fraction: float
  upload_megabytes: float
  download_megabytes: float
  perplexities: tuple[float, ...]


def read_runs(folder: pathlib.Path) -> list[PolicyQuality]:
  """Gathers finished runs below `folder` that differ in `--model`, `--trainable` and `--download`; by model, most first.

  Raises:
    UsageError: As `finished_runs.read`.
  """
  qualities = []
  for key, runs in finished_runs.read(folder, ('model', 'trainable', 'download')).items():
    fractions = [row['trained_fraction'] for run in runs for row in run.rows]
    upload, download = (
      statistics.mean(run.summary[f'{way}_bytes_total'] for run in runs) / 1e6 for way in ('upload', 'download')
    )
    perplexities = tuple(run.summary['eval/perplexity'] for run in runs)
    qualities.append(PolicyQuality(*key, statistics.mean(fractions), upload, download, perplexities))
  return sorted(qualities, key=lambda quality: (quality.model, -quality.trained_fraction))


def table(qualities: Sequence[PolicyQuality]) -> str:
  """Renders qualities as a Markdown table with every seed's perplexity."""
  rows = []
  for quality in qualities:
    values = quality.perplexities
    spread = f'{statistics.stdev(values):.1f}' if len(values) > 1 else ''
    megabytes = [f'{value:.1f}' for value in (quality.upload_megabytes, quality.download_megabytes)]
    specs = [f'`{spec}`' for spec in (quality.model, quality.trainable, quality.download)]
    seeds = ', '.join(f'{value:.1f}' for value in values)
    rows.append(
      [*specs, f'{quality.trained_fraction:.3f}', *megabytes, f'{statistics.mean(values):.1f}', spread, seeds]
    )
  return markdown_table.render(_COLUMNS, rows)


def plot(qualities: Sequence[PolicyQuality], path: pathlib.Path) -> None:
  """Draws perplexity against the trained fraction, a line for each model and kind of policy, as a PNG."""
  import matplotlib  # Slow to import, and needed once, at the end.

  matplotlib.use('Agg')
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(figsize=(9, 6), layout='constrained')
  for (model, kind), members in sorted(_lines(qualities).items()):
    _line(axes, f'{model}: {kind}', members)
  axes.set(xlabel='parameters trained by a client, mean fraction', yscale='log')
  axes.set_ylabel('perplexity on held-out clients (bars: all seeds)')
  axes.grid(alpha=0.3, which='both')
  axes.legend()
  figure.savefig(path, dpi=110)
  pyplot.close(figure)


def _lines(qualities: Sequence[PolicyQuality]) -> dict[tuple[str, str], list[PolicyQuality]]:
  """Groups by model and policy without its fraction; training everything is the end of every line of its model."""
  lines: dict[tuple[str, str], list[PolicyQuality]] = {}
  for quality in qualities:
    if quality.trainable != 'all':
      kind = re.sub(r'fraction=[^,)]*,? ?', '', quality.trainable).replace('()', '')
      lines.setdefault((quality.model, kind), []).append(quality)
  whole = {quality.model: quality for quality in qualities if quality.trainable == 'all'}
  return {key: [*([whole[key[0]]] if key[0] in whole else []), *members] for key, members in lines.items()}


def _line(axes: Any, label: str, qualities: Sequence[PolicyQuality]) -> None:
  middles = [statistics.mean(quality.perplexities) for quality in qualities]
  below = [middle - min(quality.perplexities) for middle, quality in zip(middles, qualities, strict=True)]
  above = [max(quality.perplexities) - middle for middle, quality in zip(middles, qualities, strict=True)]
  fractions = [quality.trained_fraction for quality in qualities]
  axes.errorbar(fractions, middles, yerr=[below, above], marker='o', capsize=3, label=label)
