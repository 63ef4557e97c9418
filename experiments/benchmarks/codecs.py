"""The measurements behind `--what=codecs`: speed and memory of every codec on an update of 21 M parameters."""

from collections.abc import Callable
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import compressed_sum
from compression import update_codec as update_codec_lib
from experiments.benchmarks import rounds as benchmark_rounds
from experiments.command import codec_specs
from experiments.command import command_line
from experiments.costs import resident_memory
from models import transformer

_SEED = np.array([1, 2], np.int64)  # No tensor: TensorFlow would start when this is imported.


_CODECS = (
  'identity', 'uniform(bits=8)', 'uniform(bits=4)', 'hadamard|uniform(bits=4)', 'uniform(bits=4)|rans',
  'uniform(bits=4)|elias_gamma', 'float16', 'bfloat16', 'terngrad', 'qsgd(num_steps=7)', 'sign', 'drive', 'eden(bits=4)',
  'three_lc', 'topk(fraction=0.01)', 'randk(fraction=0.01)',
)  # fmt: skip


def print_table(repeats: int) -> None:
  """Prints megabytes of float32 a second, bits a parameter and peak memory of each codec; `repeats` passes each."""
  tensors = _update()
  size = sum(tensor.nbytes for tensor in tensors)
  copy_seconds = _median(lambda: [tensor.copy() for tensor in tensors], repeats)
  columns = f'{"MB/s":>7} {"copies":>7} {"bits/param":>11} {"peak memory/update":>19} {"graph MB":>9}'
  print(f'{"encode, decode and add up":<30} {columns}')
  print(f'{"NumPy copy":<30} {size / copy_seconds / 1e6:7.0f} {1.0:7.1f} {32.0:11.2f}')
  for spec in _CODECS:
    seconds, num_bytes = _encode_decode(codec_specs.build(spec), tensors, repeats)
    speed, copies, bits = size / seconds / 1e6, seconds / copy_seconds, 32 * num_bytes / size
    graph, peak = _memory(spec)
    print(f'{spec:<30} {speed:7.0f} {copies:7.1f} {bits:11.2f} {peak / size:19.2f} {graph / 1e6:9.0f}', flush=True)


def compare_with_tff(repeats: int) -> None:
  """Prints seconds of a sum over two clients in TFF: its own sum, its 8-bit encoder and this suite's 8-bit codec."""
  tensor_types = tuple((np.float32, variable.shape) for variable in _model().variables)
  factories = {
    'TFF SumFactory': tff.aggregators.SumFactory(),
    'TFF EncodedSumFactory 8 bit': tff.aggregators.EncodedSumFactory.quantize_above_threshold(8, threshold=0),
    'leanfed uniform(bits=8)': compressed_sum.CompressedSumFactory(codec_specs.build('uniform(bits=8)')),
    'leanfed hadamard|uniform(bits=4)': compressed_sum.CompressedSumFactory(
      codec_specs.build('hadamard|uniform(bits=4)')
    ),
  }
  rounds = {name: _sum_in_tff(factory, tensor_types) for name, factory in factories.items()}
  medians = benchmark_rounds.alternate(rounds, repeats)
  for name, value in medians.items():
    print(f'{name:<40} {value:6.2f} s for 2 clients of 21 M parameters, drawing them included')
  ratio = medians['TFF EncodedSumFactory 8 bit'] / medians['leanfed uniform(bits=8)']
  print(f'codecs ratio to stock TFF: {ratio:.2f} (speed of uniform(bits=8) to EncodedSumFactory, above 1 is faster)')


def measure_peak(spec: str) -> None:
  """Prints what encoding, decoding and adding up leaves in this fresh process, and by how much it then raises its peak.

  The update and the sum it is added to are there before. What the first step leaves is the graph, in bytes.
  """
  step = _build_step(codec_specs.build(spec), _update())
  idle = resident_memory.settled_bytes()
  step()
  print(resident_memory.settled_bytes() - idle, resident_memory.peak_bytes(step))


def _model() -> Any:
  return transformer.transformer(size='large')(4000)


def _update() -> list[np.ndarray]:
  """Draws an update of the large Transformer, heavy-tailed as real ones are."""
  rng = np.random.default_rng(0)
  return [rng.standard_t(4, variable.shape).astype(np.float32) * 1e-3 for variable in _model().variables]


def _build_step(codec: update_codec_lib.UpdateCodec, update: list[np.ndarray]) -> Callable[[], int]:
  """Builds a call that encodes `update`, adds it to a sum and returns the bytes that would travel."""
  tensors = [tf.constant(array) for array in update]
  specs = [tf.TensorSpec(array.shape) for array in update]
  zero_terms, present = codec.zero_terms(specs), tf.fill([len(specs)], True)
  encode = tf.function(lambda *values: codec.encode(list(values), present, _SEED, _SEED), autograph=False)
  accumulate = tf.function(lambda sent: codec.add(zero_terms, sent, tf.constant(2.0), specs, _SEED), autograph=False)

  def step() -> int:
    sent = encode(*tensors)
    accumulate(sent)
    return sum(int(part) for part in update_codec_lib.num_bytes(sent))

  return step


def _encode_decode(codec: update_codec_lib.UpdateCodec, update: list[np.ndarray], repeats: int) -> tuple[float, int]:
  """Returns the median seconds of a step, and its bytes."""
  step = _build_step(codec, update)
  return _median(step, repeats), step()


def _memory(spec: str) -> tuple[int, int]:
  """Returns the bytes of the graph and those of the peak, of a fresh process."""
  script = f'from experiments.benchmarks import codecs as benchmark_codecs; benchmark_codecs.measure_peak({spec!r})'
  root = command_line.ROOT
  environment = os.environ | resident_memory.ENVIRONMENT
  found = subprocess.run(
    [sys.executable, '-c', script], cwd=root, env=environment, capture_output=True, text=True, check=True
  )
  graph, peak = map(int, found.stdout.split()[-2:])
  return graph, peak


def _sum_in_tff(factory: Any, tensor_types: Any) -> Callable[[], Any]:
  """Builds a call that draws two updates in the worker, adds them up there and returns one number."""
  process = factory.create(tff.types.to_type(tensor_types))

  @tff.tensorflow.computation(np.int64)
  def draw(seed):
    return tuple(
      tf.random.stateless_normal(shape, tf.stack([seed, index])) for index, (_, shape) in enumerate(tensor_types)
    )

  @tff.tensorflow.computation(process.next.type_signature.result.result.member)
  def first(total):
    return tf.reduce_sum(total[0])

  @tff.federated_computation(tff.FederatedType(np.int64, tff.CLIENTS))
  def one_sum(seeds):
    output = process.next(process.initialize(), tff.federated_map(draw, seeds))
    return tff.federated_map(first, output.result)

  return lambda: one_sum([np.int64(1), np.int64(2)])


def _median(call: Callable[[], Any], repeats: int) -> float:
  call()
  seconds = []
  for _ in range(repeats):
    started = time.perf_counter()
    call()
    seconds.append(time.perf_counter() - started)
  return statistics.median(seconds)
