"""What a run says that it computes on, and clients on two devices, for which two halves of the processor stand in."""

import json
import os
import types

import tensorflow as tf

from experiments.workers import hardware
from experiments.workers import runtimes
from tests import binaries


def test_clients_take_the_devices_in_turn_and_no_bit_changes():
  process = binaries.run('tests.experiments.workers.two_devices', [])
  assert process.returncode == 0, process.stderr
  on_two, on_one = json.loads(process.stdout.splitlines()[-1])
  assert on_two['content'] == on_one['content']
  clients, sums = ([place for what, place in on_two['places'] if what == each] for each in ('client', 'sum'))
  assert sorted(clients) == 6 * ['CPU:0'] + 4 * ['CPU:1']  # In each of two rounds three and two clients.
  assert sums == 10 * ['CPU:0']
  assert all(place == 'CPU:0' for _, place in on_one['places'])
  assert process.stderr.splitlines()[-2:] == [
    'computes in this process, 2 clients at a time, on CPU:0, CPU:1',
    'computes in this process, 2 clients at a time, on the CPU',
  ]


def test_gpus_are_said_by_number_and_make(monkeypatch, capsys):
  logical = [types.SimpleNamespace(name=f'/device:GPU:{number}') for number in range(2)]
  monkeypatch.setattr(tf.config, 'list_logical_devices', lambda kind: logical if kind == 'GPU' else [])
  monkeypatch.setattr(tf.config, 'get_visible_devices', lambda kind: logical)
  monkeypatch.setattr(tf.config.experimental, 'get_device_details', lambda _: {'device_name': 'NVIDIA A100'})
  assert hardware.devices() == ['GPU:0', 'GPU:1']
  hardware.say('in this process', hardware.devices())
  assert capsys.readouterr().err == 'computes in this process, on GPU:0, GPU:1 (NVIDIA A100)\n'


def test_a_worker_says_what_it_computes_on(tmp_path, capsys):
  with runtimes.start_worker(tmp_path / 'worker.log', 10, 1):
    assert (
      capsys.readouterr().err.splitlines()[-1] == 'computes in a worker on this machine, 1 client at a time, on the CPU'
    )


def test_operations_may_fall_back_to_the_cpu_and_memory_grows():
  tf.config.set_soft_device_placement(False)
  hardware.devices()
  assert tf.config.get_soft_device_placement()
  assert os.environ['TF_FORCE_GPU_ALLOW_GROWTH'] == 'true'  # Read when TensorFlow sets up its GPUs.
