"""What a comparison of runs comes to: the least upload that loses nothing against the reference."""

from collections.abc import Sequence

from experiments.comparisons import megabytes
from experiments.comparisons import runs
from experiments.results import markdown_table


def table(groups: Sequence[runs.Group]) -> str:
  """Renders the setting that uploads least among those as good as the reference, beside it, as a Markdown table.

  Args:
    groups: What is compared; at least one.

  Returns:
    The quality, the megabytes and how many times fewer they are; nothing if none that uploads less is as good.
  """
  reference = groups[runs.reference(groups)]
  least = min((group for group in groups if _is_as_good(group, reference)), key=_sent, default=reference)
  if not 0 < _sent(least) < _sent(reference):
    return ''
  measure = reference.quality
  pair = (least, reference)
  return markdown_table.render(
    ['', *(group.name for group in pair)],
    [
      [f'{measure.name} on {reference.judges}', *(measure.text(group.spread(runs.quality).mean) for group in pair)],
      ['megabytes uploaded', *(megabytes.text(_sent(group)) for group in pair)],
      ['times fewer', f'{_sent(reference) / _sent(least):.1f}', ''],
    ],
  )


def _is_as_good(group: runs.Group, reference: runs.Group) -> bool:
  means = (each.spread(runs.quality).mean for each in (group, reference))
  return group.finished and not group.num_diverged and reference.quality.is_as_good(*means)


def _sent(group: runs.Group) -> float:
  return group.spread(runs.upload_bytes).mean
