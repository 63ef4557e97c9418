"""A logger is told the rows of a training in one place, each once it is in the file."""

import contextlib

import numpy as np

from experiments.central import training
from experiments.results import metrics
from models import checkpoint
from tests import tiny_language


def test_a_logger_is_told_each_row_and_the_summary_is_written_before_it_leaves(tmp_path):
  told = []

  @contextlib.contextmanager
  def log_to(output_dir):
    def on_row(row):
      told.append(row)
      assert metrics.read(output_dir / 'metrics.csv') == told

    yield on_row
    told.append((output_dir / 'summary.json').exists())

  tokens = np.random.default_rng(0).integers(4, tiny_language.VOCABULARY, [6, tiny_language.LENGTH + 1], np.int32)
  task, description = tiny_language.task(), checkpoint.of_images('none', (8, 8, 1), ('a', 'b'))
  examples = training.Examples(dict(tokens=tokens), dict(tokens=tokens))
  config = training.CentralConfig(
    tmp_path / 'run', steps=4, batch_size=2, steps_per_eval=2, steps_per_checkpoint=4, log_to=log_to
  )
  training.train(task, examples, description, config)
  *rows, is_written = told
  assert [row['step'] for row in rows] == [0, 2, 4] and is_written
