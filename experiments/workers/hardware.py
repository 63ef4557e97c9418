"""What this process computes on: the GPUs that TensorFlow sees, or else its processors."""

from collections.abc import Sequence
import sys

import tensorflow as tf

WITHOUT_GPUS = {'CUDA_VISIBLE_DEVICES': '-1'}  # The environment of a process that is to compute on processors.


def devices() -> list[str]:
  """Returns the names of the GPUs or, if there is none, of the CPU: several where TensorFlow was told to split it.

  Operations that a GPU cannot do, such as those of strings and of some integers, are then done on the CPU. That a GPU's
  memory is taken as it is needed, and not all at once, is set before TensorFlow is imported: see `experiments/__init__.py`.
  """
  tf.config.set_soft_device_placement(True)
  found = tf.config.list_logical_devices('GPU') or tf.config.list_logical_devices('CPU')
  return [device.name.removeprefix('/device:') for device in found]


def say(where: str, names: Sequence[str] = ('CPU:0',)) -> None:
  """Says on stderr where a run computes, and on which devices."""
  print(f'computes {where}, on {_described(names)}', file=sys.stderr, flush=True)


def _described(names: Sequence[str]) -> str:
  if list(names) == ['CPU:0']:
    return 'the CPU'
  cards = sorted({_card(each) for each in tf.config.get_visible_devices('GPU')})
  return ', '.join(names) + (f' ({", ".join(cards)})' if cards else '')


def _card(device: tf.config.PhysicalDevice) -> str:
  return tf.config.experimental.get_device_details(device).get('device_name', 'of unknown make')
