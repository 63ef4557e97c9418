"""What `experiments.client_cost` leaves: a row for each policy, as a table, a CSV and a picture."""

from collections.abc import Sequence
import csv
import dataclasses
import pathlib
import statistics

from experiments.costs import client_process
from experiments.costs import client_round
from experiments.results import markdown_table
from experiments.results import picture

_NOTES = """\
Measured, medians of {processes} processes for time and as many for memory, on {cores} core(s): step ms is what a local step
adds to a round, CPU ms the processor time of that, which a busy machine disturbs less; peak MB is what the local steps
of a round add to a process that has the weights and has traced the graph; fixed MB is what tracing left in it. In brackets
the smallest and the largest process.

Counted from what travels in the first round of a client, on average over clients if they draw: trained, up, down; of what
comes down, once MB is what no later round repeats, as nobody trains it.

Modelled, from traced graphs that never ran: GFLOP of the matrix products of a step; MB of weights, gradients, optimizer
state, and activations kept for the backward pass; memory is all that a step holds at once, in brackets as a fraction of
the weights and the measured peak together; of a step in which the
encoder sees a whole batch, if there are chunks, and without the target of byol."""


@dataclasses.dataclass(frozen=True)
class CostRow:
  """One policy; the names of the fields are the columns of the CSV. Those that begin with `modelled` are not measured."""

  policy: str
  trained_fraction: float
  step_ms: float
  step_ms_min: float
  step_ms_max: float
  step_cpu_ms: float
  peak_mb: float
  peak_mb_min: float
  peak_mb_max: float
  fixed_mb: float
  upload_bytes: float
  download_bytes: int
  download_bytes_frozen: int
  modelled_step_gflop: float
  modelled_weights_mb: float
  modelled_gradients_mb: float
  modelled_optimizer_mb: float
  modelled_activations_mb: float
  modelled_memory_mb: float


def row(
  policy: str,
  measured: Sequence[client_process.Measured],
  counted: client_round.Counted,
) -> CostRow:
  """Puts together what was found for a policy; the smallest and largest values are those of single processes."""
  traffic, cost, optimizer_bytes = counted
  step_ms = [1e3 * statistics.median(each.time.step_seconds) for each in measured]
  peak_mb = [each.memory.peak_bytes / 1e6 for each in measured]
  return CostRow(
    policy=policy,
    trained_fraction=traffic.trained_fraction,
    step_ms=statistics.median(step_ms),
    step_ms_min=min(step_ms),
    step_ms_max=max(step_ms),
    step_cpu_ms=statistics.median(1e3 * statistics.median(each.time.step_cpu_seconds) for each in measured),
    peak_mb=statistics.median(peak_mb),
    peak_mb_min=min(peak_mb),
    peak_mb_max=max(peak_mb),
    fixed_mb=statistics.median(each.memory.fixed_bytes / 1e6 for each in measured),
    upload_bytes=traffic.upload_bytes,
    download_bytes=traffic.download_bytes,
    download_bytes_frozen=traffic.download_bytes_frozen,
    modelled_step_gflop=(cost.forward_flops + cost.backward_flops) / 1e9,
    modelled_weights_mb=cost.weight_bytes / 1e6,
    modelled_gradients_mb=cost.gradient_bytes / 1e6,
    modelled_optimizer_mb=optimizer_bytes / 1e6,
    modelled_activations_mb=cost.activation_bytes / 1e6,
    modelled_memory_mb=(cost.peak_bytes + optimizer_bytes) / 1e6,
  )


def table(rows: Sequence[CostRow], num_processes: int, num_cores: int) -> str:
  """Renders the rows as a Markdown table, and below it what is measured and what is modelled."""
  header = [
    'policy', 'trained', 'step ms', 'CPU ms', 'peak MB', 'fixed MB', 'up MB', 'down MB', 'once MB', 'GFLOP', 'weights', 'gradients',
    'optimizer', 'activations', 'memory',
  ]  # fmt: skip
  cells = [
    [
      f'`{each.policy}`',
      f'{each.trained_fraction:.1%}',
      f'{each.step_ms:.1f} ({each.step_ms_min:.1f}-{each.step_ms_max:.1f})',
      f'{each.step_cpu_ms:.1f}',
      f'{each.peak_mb:.1f} ({each.peak_mb_min:.1f}-{each.peak_mb_max:.1f})',
      f'{each.fixed_mb:.1f}',
      f'{each.upload_bytes / 1e6:.3f}',
      f'{each.download_bytes / 1e6:.3f}',
      f'{each.download_bytes_frozen / 1e6:.3f}',
      f'{each.modelled_step_gflop:.3f}',
      f'{each.modelled_weights_mb:.2f}',
      f'{each.modelled_gradients_mb:.2f}',
      f'{each.modelled_optimizer_mb:.2f}',
      f'{each.modelled_activations_mb:.2f}',
      f'{each.modelled_memory_mb:.2f} ({each.modelled_memory_mb / (each.modelled_weights_mb + each.peak_mb):.2f})',
    ]
    for each in rows
  ]
  return f'{markdown_table.render(header, cells)}\n\n{_NOTES.format(processes=num_processes, cores=num_cores)}'


def write_csv(rows: Sequence[CostRow], path: pathlib.Path) -> None:
  """Writes the rows, a column for each field."""
  with path.open('w', newline='') as file:
    writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(CostRow)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(each) for each in rows)


def plot(rows: Sequence[CostRow], path: pathlib.Path) -> None:
  """Draws time and memory of every policy as a PNG; whiskers reach from the smallest to the largest process."""
  figure = picture.blank(12, 1.6 + 0.6 * len(rows))
  axes = figure.subplots(1, 2, sharey=True)
  for one, name, label in (
    (axes[0], 'step_ms', 'milliseconds a local step'),
    (axes[1], 'peak_mb', 'megabytes that a local round adds at its peak'),
  ):
    middle, low, high = ([getattr(each, name + end) for each in rows] for end in ('', '_min', '_max'))
    whiskers = [[m - x for m, x in zip(middle, low, strict=True)], [x - m for m, x in zip(middle, high, strict=True)]]
    one.barh(range(len(rows)), middle, xerr=whiskers, capsize=3, color='tab:blue', label='measured')
    one.set(xlabel=label, xlim=(0, None))
    one.grid(alpha=0.3, axis='x')
  activations = [each.modelled_activations_mb for each in rows]
  axes[1].plot(activations, range(len(rows)), 'k|', markersize=18, markeredgewidth=2, label='activations, modelled')
  figure.legend(*axes[1].get_legend_handles_labels(), loc='outside lower right', ncols=2)
  axes[0].set_yticks(range(len(rows)), [each.policy for each in rows])
  axes[0].invert_yaxis()
  figure.savefig(path)
