"""Prints which of two devices, into which TensorFlow splits the processor, computed what of two rounds, and what they gave."""

from collections.abc import Sequence
import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import codec_specs
from experiments.workers import hardware
from experiments.workers import in_process
from experiments.workers import runtimes
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import catalog
from optimizers import local_batches
from tests import tiny_language


def _process() -> tff.learning.templates.LearningProcess:
  model = lstm.lstm(width=4, num_cells=4)(tiny_language.VOCABULARY)
  upload = codec_specs.build('uniform(bits=8)|rans', 'upload')
  communication = algorithms.Communication(upload, codec_specs.build_download('uniform(bits=8)'))
  task = language_task.build(model, tiny_language.LENGTH)
  return catalog.ALGORITHMS['fed_adam']()(task, communication, local_batches.LocalBatches(batch_size=3), 1)


def _note_places(here: in_process.InProcess) -> list[tuple[str, str]]:
  """Returns what will hold, for each update and each sum, where it is."""
  places, sum_up = [], here._sum_up

  def noted(what, compute):
    def called(*given):
      held = compute(*given)
      places.append((what, held.backing_device[-5:]))
      return held

    return called

  here._sum_up = lambda zero, work, add, clients: sum_up(zero, noted('client', work), noted('sum', add), clients)
  return places


def _rounds(process: tff.learning.templates.LearningProcess, devices: Sequence[str]) -> dict[str, object]:
  hardware.devices = lambda: devices
  clients = [tiny_language.client(key) for key in range(1, 6)]
  with runtimes.in_process(threads=2)(pathlib.Path(), 1, 5) as here:
    places, state = _note_places(here), process.initialize()
    for _ in range(2):
      state, said = process.next(state, clients)
  content = hashlib.sha256()
  for leaf in tf.nest.flatten([state.global_model_weights.trainable, said]):
    content.update(np.asarray(leaf).tobytes())
  return dict(places=places, content=content.hexdigest())


def main() -> None:
  """Computes on both, then on the first."""
  processor = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
  process, devices = _process(), hardware.devices()
  print(json.dumps([_rounds(process, names) for names in (devices, devices[:1])]))


if __name__ == '__main__':
  main()
