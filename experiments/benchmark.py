"""How fast is the suite here, against stock TFF on the same two cores?

    python -m experiments.benchmark --what=training
    python -m experiments.benchmark --what=round
    python -m experiments.benchmark --what=codecs
    python -m experiments.benchmark --what=select
    python -m experiments.benchmark --what=scale --output_dir=runs/scale

Contenders take turns in one call, so that a busy machine disturbs all of them alike; each figure is the median.
`training` runs rounds of three models, in the suite's layers and in Keras', against those that `--against` names, prints
where the time of a local step goes, then runs a tiny model for 200 rounds, and prints the slope of both processes' memory.
`round` measures what starting costs, what a round costs apart from its steps, whether an evaluation at the same time would
gain anything, what reading a client takes, and the way of a large state to the worker and back.
`codecs` encodes and adds up an update of 21 M parameters, in plain TensorFlow and inside TFF.
`select` sends clients the rows of a vocabulary that they ask for, by keys that stand for more or fewer rows.
`scale` runs rounds of 10 to 800 clients of a generated population of 340,000, which it first generates and prepares in
the cache (a few minutes, half a gigabyte), and then `--memory_rounds` rounds of 50 clients for the slope of memory.
"""

import os
import pathlib
import tempfile

from absl import flags

from experiments.benchmarks import codecs
from experiments.benchmarks import memory_slope
from experiments.benchmarks import parts
from experiments.benchmarks import rounds
from experiments.benchmarks import scale
from experiments.benchmarks import select
from experiments.benchmarks import torch_contender
from experiments.benchmarks import training
from experiments.command import launch
from experiments.results import output
from experiments.workers import local_runtime

_WHAT = flags.DEFINE_enum('what', 'training', ['training', 'round', 'codecs', 'select', 'scale'], 'What to measure.')
_AGAINST = flags.DEFINE_list(
  'against',
  ['keras', 'tff'],
  'With what `training` compares, in commas: keras (a plain Keras loop), tff (stock TFF), torch (plain PyTorch, a process '
  'for each processor).',
)
flags.register_validator(
  'against',
  lambda names: set(names) <= rounds.AGAINST.keys(),
  'must be some of keras, tff and torch, as in keras,tff',
)
_TORCH_PYTHON = flags.DEFINE_string(
  'torch_python', 'python3', 'The Python that runs PyTorch, which has an environment of its own.'
)
_CORES = flags.DEFINE_integer(
  'cores', 2, 'Processors that all contenders share; the rest is left alone.', lower_bound=1
)
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Measured turns of each contender, after one to warm up.', lower_bound=1)
_MEMORY_ROUNDS = flags.DEFINE_integer(
  'memory_rounds', 200, 'Rounds of the memory measurement of `training` and `scale`; 0 leaves it out.', lower_bound=0
)
_POPULATION = flags.DEFINE_integer('population', 340_000, 'Training clients of `scale`.', lower_bound=50)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Folder for the picture of `scale`; none is drawn without.')


def main() -> None:
  """Measures what `--what` names and prints it."""
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: _CORES.value])
  if _WHAT.value == 'training' and 'torch' in _AGAINST.value:
    torch_contender.require(_TORCH_PYTHON.value)
  if _WHAT.value == 'codecs':
    codecs.print_table(_REPEATS.value)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with local_runtime.local_runtime(folder / 'worker.log') as worker:
      if _WHAT.value == 'codecs':
        codecs.compare_with_tff(_REPEATS.value)
      elif _WHAT.value == 'round':
        parts.print_parts(folder, worker, _REPEATS.value)
      elif _WHAT.value == 'select':
        select.print_table(_REPEATS.value)
      elif _WHAT.value == 'scale':
        _measure_scale(folder, worker)
      else:
        training.compare_speed(folder, _REPEATS.value, _AGAINST.value, _TORCH_PYTHON.value)
        if _MEMORY_ROUNDS.value:
          training.measure_memory(folder, worker, _MEMORY_ROUNDS.value)


def _measure_scale(folder: pathlib.Path, local_worker: local_runtime.LocalWorker) -> None:
  text = scale.prepared_population(_POPULATION.value)
  simulation = scale.Simulation(text)
  print(f'{simulation.num_clients:,} clients, {simulation.num_parameters:,} parameters', flush=True)
  rows = scale.measure_sizes(simulation, local_worker.pid, _REPEATS.value)
  scale.print_table(rows)
  scale.print_line(rows)
  if _OUTPUT_DIR.value:
    output.make(pathlib.Path(_OUTPUT_DIR.value))
    scale.plot(rows, pathlib.Path(_OUTPUT_DIR.value, 'scale.png'))
  if _MEMORY_ROUNDS.value:
    memory_slope.print_slopes(lambda: simulation.advance(scale.MEMORY_CLIENTS), [local_worker], _MEMORY_ROUNDS.value)
  scale.print_table(scale.measure_workers(text, folder, _REPEATS.value))


if __name__ == '__main__':
  launch.launch(main)
