"""A federated language model from a script of one's own, without flags: 20 rounds with 4-bit uploads.

python -m examples.own_script runs/mine
"""

import pathlib  # noqa: I001
import sys
from typing import Any

# First: the suite's packages come before others of their names, and TensorFlow is quiet.
import experiments  # noqa: F401
from compression import codec
from compression import update_codec
from compression.stages import uniform
from data import catalog
from data import partitions
from data import population
from data import prepare
from data import source as source_lib
from experiments.federated import run
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches


def train(source: source_lib.TextSource, config: run.Config) -> dict[str, Any]:
  """Trains on `source` and returns the summary of the run."""
  text = prepare.prepare(source, partitions.natural())
  task = language_task.build(lstm.lstm(width=96, num_cells=256)(text.vocabulary_size), text.sequence_length)
  communication = algorithms.Communication(upload=update_codec.UpdateCodec(codec.Codec([uniform.Uniform(bits=4)])))
  process = fed_opt.fed_adam()(task, communication, local_batches.LocalBatches(batch_size=16), config.seed)
  return run.run(task, process, population.Population.of(text), config)


if __name__ == '__main__':
  print(train(catalog.DATASETS['docstrings'](), run.Config(pathlib.Path(sys.argv[1]), rounds=20)))
