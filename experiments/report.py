"""What a person looks at when a run has ended: a short table and one picture."""

from collections.abc import Mapping
import pathlib
from typing import Any

from experiments import metrics


def table(summary: Mapping[str, Any], unigram_perplexity: float) -> str:
  """Renders the end of a language-model run as a Markdown table.

  Args:
    summary: Content of `summary.json`.
    unigram_perplexity: Of the tokens that the evaluation used, under a unigram model of the training tokens.
  """
  peak = summary['peak_rss_bytes']
  in_worker = 'not measured' if peak['worker'] is None else f'{peak["worker"] / 1e9:.2f} GB'
  lines = [
    ('rounds', f'{summary["rounds"]}'),
    ('model parameters', f'{summary["num_parameters"]:,}'),
    ('training clients', f'{summary["num_clients_total"]:,}'),
    ('perplexity on held-out clients', f'{summary["eval/perplexity"]:.1f}'),
    ('unigram perplexity of the same tokens', f'{unigram_perplexity:.1f}'),
    ('accuracy on held-out clients', f'{summary["eval/accuracy"]:.3f}'),
    ('uploaded', f'{summary["upload_bytes_total"] / 1e6:.1f} MB'),
    ('downloaded', f'{summary["download_bytes_total"] / 1e6:.1f} MB'),
    ('updates dropped', f'{summary["dropped_updates"]}'),
    ('minutes', f'{summary["seconds"] / 60:.1f}'),
    ('peak memory', f'{peak["main"] / 1e9:.2f} GB here, {in_worker} in the worker'),
  ]
  width = max(len(name) for name, _ in lines)
  rows = [f'| {name:<{width}} | {value} |' for name, value in lines]
  return '\n'.join([f'| {"":<{width}} | |', f'|{"-" * (width + 2)}|---|', *rows])


def plot(metrics_csv: pathlib.Path, path: pathlib.Path, unigram_perplexity: float) -> None:
  """Draws perplexity against rounds and against megabytes sent as a PNG.

  Args:
    metrics_csv: The run's metrics.
    path: The PNG.
    unigram_perplexity: Drawn as a level to beat.
  """
  import matplotlib  # Slow to import, and needed once, at the end.

  matplotlib.use('Agg')
  from matplotlib import pyplot
  from matplotlib import ticker

  rows = metrics.read(metrics_csv)
  evaluated = [row for row in rows if row['eval/perplexity'] != metrics.NOT_MEASURED]
  perplexities = [row['eval/perplexity'] for row in evaluated]
  figure, (by_round, by_bytes) = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout='constrained')
  by_round.plot([row['round'] for row in evaluated], perplexities, marker='.', label='this model')
  by_round.set(xlabel='round', ylabel='perplexity on held-out clients', yscale='log')
  by_round.yaxis.set_major_formatter(ticker.ScalarFormatter())  # 200, not 2 x 10^2.
  by_round.yaxis.set_minor_formatter(ticker.ScalarFormatter())
  for direction, name in (('upload', 'uploaded'), ('download', 'downloaded')):
    megabytes = [row[f'{direction}_bytes_total'] / 1e6 for row in evaluated]
    by_bytes.plot(megabytes, perplexities, marker='.', label=name)
  by_bytes.set(xlabel='megabytes sent, all clients')
  for axes in (by_round, by_bytes):
    axes.axhline(unigram_perplexity, color='gray', linestyle='--', label='unigram model')
    axes.grid(alpha=0.3, which='both')
    axes.legend()
  figure.savefig(path, dpi=120)
  pyplot.close(figure)
