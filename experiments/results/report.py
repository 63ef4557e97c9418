"""What a person looks at when a run has ended: a short table and one picture."""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import pathlib
import types
from typing import Any
from typing import NamedTuple

from experiments.results import markdown_table
from experiments.results import metrics
from experiments.results import picture
from experiments.results import quality as quality_lib
from experiments.results import terminal

_LINES = ('--', ':', '-.')  # Of baselines.


class Measure(NamedTuple):
  """What a run is judged by.

  Attributes:
    quality: What is measured.
    baselines: What there is to beat: the quality of simpler models by what they are called.
    judges: What the clients are called on which it is measured.
  """

  quality: quality_lib.Quality
  baselines: Mapping[str, float] = types.MappingProxyType({})
  judges: str = quality_lib.JUDGES['heldout']


def conclude(summary: Mapping[str, Any], output_dir: pathlib.Path, judged_by: Measure, beside: Measure) -> None:
  """Draws by what a run in `output_dir` is judged as `<its name>.png`, and prints that and another measure."""
  png = output_dir / f'{judged_by.quality.name}.png'
  plot(output_dir / 'metrics.csv', png, judged_by)
  terminal.show(table(summary, [judged_by, beside]))
  print(f'everything is in {output_dir}; the picture is {png}')


def table(summary: Mapping[str, Any], measures: Sequence[Measure]) -> str:
  """Renders the end of a run as a Markdown table.

  Args:
    summary: Content of `summary.json`.
    measures: What to show of it, each with its baselines.
  """
  peak = summary['peak_rss_bytes']
  in_worker = '' if peak['worker'] is None else f', {peak["worker"] / 1e9:.2f} GB in the worker'
  measured = []
  for measure in measures:
    quality = measure.quality
    measured.append((f'{quality.name} on {measure.judges}', quality.text(summary[quality.column])))
    measured += [(f'{quality.name} of {name}', quality.text(value)) for name, value in measure.baselines.items()]
  lines = [
    ('rounds', f'{summary["rounds"]}'),
    ('model parameters', f'{summary["num_parameters"]:,}'),
    ('training clients', f'{summary["num_clients_total"]:,}'),
    *measured,
    ('uploaded', f'{summary["upload_bytes_total"] / 1e6:,.1f} MB'),
    ('downloaded', f'{summary["download_bytes_total"] / 1e6:,.1f} MB'),
    *_privacy(summary.get('privacy')),
    *_secure_sum(summary.get('secure_sum')),
    ('updates dropped', f'{summary["dropped_updates"]}'),
    ('minutes', f'{summary["seconds"] / 60:.1f}'),
    ('peak memory', f'{peak["main"] / 1e9:.2f} GB here{in_worker}'),
  ]
  return markdown_table.render(['', ''], lines)


def _privacy(told: Mapping[str, Any] | None) -> list[tuple[str, str]]:
  return (
    [] if told is None else [('epsilon', f'{told["epsilon"]:.3g} at delta {told["delta"]:.2g}, {told["neighbours"]}')]
  )


def _secure_sum(lost: Mapping[str, int] | None) -> list[tuple[str, str]]:
  return (
    [] if lost is None else [('secure sum', ', '.join(f'{name.replace("_", " ")} {n}' for name, n in lost.items()))]
  )


def plot(metrics_csv: pathlib.Path, path: pathlib.Path, measure: Measure) -> None:
  """Draws a measure against rounds and against megabytes sent as a PNG.

  Args:
    metrics_csv: The run's metrics.
    path: The PNG.
    measure: What to draw; its baselines become levels to beat. The scale is logarithmic unless it is a fraction.
  """
  evaluated = quality_lib.evaluated(metrics.read(metrics_csv))
  values = [row[measure.quality.column] for row in evaluated]
  figure = picture.blank(10, 4)
  by_round, by_bytes = figure.subplots(1, 2, sharey=True)
  by_round.plot([row['round'] for row in evaluated], values, marker='.', label='this model')
  by_round.set(xlabel='round', ylabel=f'{measure.quality.name} on {measure.judges}')
  by_round.locator_params(axis='x', integer=True)
  if max(values) > 1.0:
    by_round.set_yscale('log')
  for direction, name in (('upload', 'uploaded'), ('download', 'downloaded')):
    megabytes = [row[f'{direction}_bytes_total'] / 1e6 for row in evaluated]
    by_bytes.plot(megabytes, values, marker='.', label=name)
  picture.write_numbers(by_round.yaxis)
  by_bytes.set(xlabel='megabytes sent, all clients')
  for axes in (by_round, by_bytes):
    for (name, value), line in zip(measure.baselines.items(), itertools.cycle(_LINES)):
      axes.axhline(value, color='gray', linestyle=line, label=name)
    axes.grid(alpha=0.3, which='both')
    axes.legend()
  figure.savefig(path)
