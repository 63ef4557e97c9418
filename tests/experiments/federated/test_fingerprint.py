"""A computation has one name in every process, whatever was traced before, and another name if it computes anything else."""

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.federated import fingerprint
from models import keras_bridge

_ROOT = pathlib.Path(__file__).parents[3]
_SCRIPT = """
import sys
from compression import codec, update_codec
from compression.stages import uniform
from experiments.federated import fingerprint
from models import language_task, lstm
from optimizers import algorithms, evaluation, fed_opt, local_batches
def build(cells):
  task = language_task.build(lstm.lstm(width=4, num_cells=cells)(20), 8)
  upload = update_codec.UpdateCodec(codec.Codec([uniform.Uniform(bits=4)]))
  return task, fed_opt.fed_adam()(task, algorithms.Communication(upload=upload), local_batches.LocalBatches(4), 0)
for _ in range(int(sys.argv[1])):
  build(5)
task, process = build(4)
print(fingerprint.of([process.initialize, process.next, evaluation.build_evaluation(task)]))
"""


def test_it_does_not_depend_on_the_process_or_on_what_was_traced_before():
  """Function names of the second process have numbers with more digits, which changes their order too."""
  found = set()
  for num_before in (0, 1):
    environment = os.environ | {'PYTHONHASHSEED': str(num_before), 'PYTHONPATH': str(_ROOT)}
    command = [sys.executable, '-c', _SCRIPT, str(num_before)]
    process = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    found.add(process.stdout)
  assert len(found) == 1


def _computation(step: float = 1.0, count: int = 3, scale: float = 2.0, dtype=tf.float32, minus: bool = False):
  """A loop in a function in a computation: something to be named at each depth."""

  @tf.function(autograph=False)
  def body(x):
    return (x - step if minus else x + step) * scale

  @tff.tensorflow.computation(dtype)
  def run(x):
    return tf.while_loop(
      lambda i, _: i < count, lambda i, x: (i + 1, tf.cast(body(tf.cast(x, tf.float32)), dtype)), [0, x]
    )[1]

  return run


def test_equal_computations_have_one_name():
  assert fingerprint.of([_computation()]) == fingerprint.of([_computation()])


@pytest.mark.parametrize(
  'other', [dict(step=1.5), dict(count=4), dict(scale=2.5), dict(dtype=tf.int32), dict(minus=True)]
)
def test_any_difference_changes_the_name(other):
  assert fingerprint.of([_computation()]) != fingerprint.of([_computation(**other)])


def test_order_counts():
  one, other = _computation(), _computation(step=2.0)
  assert fingerprint.of([one, other]) != fingerprint.of([other, one])


def test_the_computation_still_runs(worker):
  computation = _computation()
  fingerprint.of([computation])
  assert computation(0.0) == 14.0  # 0 -> 2 -> 6 -> 14.


def _of_keras(*inner, **options) -> str:
  """Returns the name of the first gradient of a Keras model, which is built here, with some layers more inside."""

  def build():
    layers = [tf.keras.layers.Embedding(5, 2), *(layer() for layer in inner), tf.keras.layers.Dense(2, **options)]
    return tf.keras.Sequential([tf.keras.Input([3], dtype=tf.int32), *layers])

  input_spec = tf.TensorSpec([None, 3], tf.int32)
  model = keras_bridge.from_keras(build, input_spec)

  @tff.tensorflow.computation(input_spec)
  def run(tokens):
    weights = model.initial_weights(0)
    with tf.GradientTape() as tape:
      tape.watch(weights)
      loss = tf.reduce_sum(model.apply(model.by_name(weights), tokens, None))
    return tape.gradient(loss, weights)

  return fingerprint.of([run])


def test_a_keras_model_keeps_its_name_whatever_was_built_before():
  def lstm():
    return tf.keras.layers.LSTM(2, return_sequences=True)

  names = [_of_keras(), _of_keras(lstm), _of_keras(), _of_keras(lstm)]
  assert names[:2] == names[2:]
  others = [_of_keras(activation='relu'), _of_keras(kernel_initializer='he_normal')]
  assert len({*names, *others}) == 4
