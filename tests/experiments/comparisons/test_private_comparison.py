"""What private runs spent stands beside what they reached, in the table and in a picture."""

import math
import warnings

from experiments.comparisons import plots
from experiments.comparisons import runs
from experiments.comparisons import table
from experiments.results import picture
from tests.experiments.comparisons.test_run_comparison import write_run


def test_what_private_runs_spent_stands_beside_what_they_reached(tmp_path):
  folders = (
    write_run(tmp_path / 'open', megabytes=2.0),
    write_run(tmp_path / 'a', privacy='gaussian(clip=1, epsilon=8)', epsilon=1.9375),
    write_run(tmp_path / 'b', privacy='gaussian(clip=1, epsilon=8)', epsilon=2.0, seed=1),
  )
  open_runs, closed = runs.groups([runs.read(folder) for folder in folders])
  assert (open_runs.epsilon, closed.epsilon) == (math.inf, 8.0)  # Four rounds; the seed that spent most.
  columns = table.columns(closed.quality, private=table.some_private([open_runs, closed]))
  rows = [dict(zip(columns, row, strict=True)) for row in table.cells([open_runs, closed])]
  assert [row['epsilon'] for row in rows] == ['not private', '8']
  assert '| epsilon |' in table.markdown([open_runs, closed], ['open', 'closed'])
  assert 'epsilon' not in table.markdown([open_runs], ['open'])


def test_private_groups_are_points_at_their_epsilon_with_their_megabytes_and_others_lines(tmp_path):
  found = runs.groups(
    [
      runs.read(write_run(tmp_path / 'open', ((0, 400.0), (2, 100.0)), megabytes=50)),
      runs.read(write_run(tmp_path / 'two', ((0, 400.0), (2, 120.0)), privacy='a', epsilon=1.0)),
      runs.read(write_run(tmp_path / 'lost', ((0, 400.0), (2, math.nan)), privacy='b', epsilon=4.0)),
    ]
  )
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    paths = plots.draw(found, tmp_path)
  assert 'Final perplexity against epsilon' in paths
  axes = picture.blank(plots.WIDTH, plots.HEIGHT).subplots()
  plots._private(axes, found)
  plots._write_megabytes(axes, found)
  assert axes.get_legend_handles_labels()[1] == [group.name for group in found]
  lines = {line.get_linestyle(): list(line.get_ydata()) for line in axes.get_lines() if len(line.get_ydata()) == 2}
  assert lines['--'] == [100.0, 100.0]
  assert [(text.get_text(), text.xy) for text in axes.texts if text.get_text()] == [('2', (2.0, 120.0))]


def test_a_run_that_its_budget_ended_is_finished(tmp_path):
  evaluations = ((0, 400.0), (2, 120.0))
  ended = write_run(tmp_path / 'ended', evaluations, privacy='a', epsilon=1.0, epsilon_budget=2.0)
  killed = write_run(tmp_path / 'killed', evaluations, finished=False, privacy='a', epsilon=1.0, epsilon_budget=2.0)
  assert runs.read(ended).finished and not runs.read(killed).finished
  assert not runs.read(write_run(tmp_path / 'interrupted', evaluations, privacy='a', epsilon=1.0)).finished
