"""A compression scheme of one's own, outside the suite: each value as a multiple of 1/127 of the largest.

python -m examples.own_codec runs/own_codec

It is also a plug-in, whose codec every binary takes by its name:

python -m experiments.language_model --plugin=examples/own_codec.py --upload='max_scaled|rans' --output_dir=runs/max_scaled
"""

# First: the suite's packages come before others of their names, and TensorFlow is quiet.
import experiments  # noqa: F401, I001

import pathlib
import sys

import tensorflow as tf

from compression import codec
from compression import stage
from compression import update_codec
from data import catalog
from data import partitions
from data import population
from data import prepare
from experiments.federated import run
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches


class MaxScaled(stage.Stage):
  """Rounds 127 x / max|x| to the nearest whole number. Biased."""

  gives = stage.Kind.LEVELS

  def form(self, form: stage.Form) -> stage.Form:
    """255 levels, as many as there were values: the codec packs them into a byte each."""
    return stage.Form(stage.Kind.LEVELS, form.size, 255)

  def encode(self, x, form, client_seed, shared_seed):
    """Returns the levels, and the scale as side information: whatever is returned travels and is counted."""
    scale = tf.reduce_max(tf.abs(x)) if form.size else tf.constant(0.0)
    return tf.cast(tf.round(127.0 * tf.math.divide_no_nan(x, scale)), tf.int32) + 127, (scale[tf.newaxis],)

  def decode(self, x, side, form, shared_seed):
    """Returns the values."""
    return tf.cast(x - 127, tf.float32) / 127.0 * side[0][0]


STAGES = {'max_scaled': MaxScaled}


def train(source, config: run.Config):
  """Trains with the scheme on the way up, and returns the summary of the run."""
  text = prepare.prepare(source, partitions.natural())
  task = language_task.build(lstm.lstm(width=96, num_cells=256)(text.vocabulary_size), text.sequence_length)
  upload = update_codec.UpdateCodec(codec.Codec([MaxScaled()]))
  process = fed_opt.fed_adam()(task, algorithms.Communication(upload), local_batches.LocalBatches(), config.seed)
  return run.run(task, process, population.Population.of(text), config)


if __name__ == '__main__':
  print(train(catalog.DATASETS['docstrings'](), run.Config(pathlib.Path(sys.argv[1]), rounds=20)))
