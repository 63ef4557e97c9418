"""How fast is the suite here, against stock TFF on the same two cores?

    python -m experiments.benchmark --what=training
    python -m experiments.benchmark --what=round
    python -m experiments.benchmark --what=runtimes
    python -m experiments.benchmark --what=codecs
    python -m experiments.benchmark --what=select
    python -m experiments.benchmark --what=scale --output_dir=runs/scale

Contenders take turns in one call, so that a busy machine disturbs all of them alike; each figure is the median.
`training` runs rounds of three models, in the suite's layers and in Keras', against those that `--against` names, and prints
where the time of a local step goes. The suite's rounds are computed in process, one of them also in the worker; stock TFF is
in the worker. Then it runs a tiny model for 200 rounds, in the worker and in process, and prints the slopes of memory.
`round` measures, in the worker, what starting costs, what a round costs apart from its steps, whether an evaluation at the
same time would gain anything, what reading a client takes, and the way of a large state to the worker and back.
`runtimes` compares whole runs of `experiments.language_model` with `--runtime=in_process` and with `--runtime=worker`: seconds
from the command to the end of a round, seconds of later rounds, and the memory of all processes together. Of a tiny
Transformer and of one of 21 M parameters; it takes many minutes.
`codecs` encodes and adds up an update of 21 M parameters, in plain TensorFlow and inside TFF.
`select` sends clients the rows of a vocabulary that they ask for, by keys that stand for more or fewer rows.
`scale` runs rounds of 10 to 800 clients of a generated population of 340,000, which it first generates and prepares in
the cache (a few minutes, half a gigabyte), and then `--memory_rounds` rounds of 50 clients for the slope of memory.
"""

from collections.abc import Mapping
import os
import pathlib
import tempfile
from typing import Any

from experiments.benchmarks import codecs
from experiments.benchmarks import memory_slope
from experiments.benchmarks import parts
from experiments.benchmarks import rounds
from experiments.benchmarks import runtimes_compared
from experiments.benchmarks import scale
from experiments.benchmarks import select
from experiments.benchmarks import torch_contender
from experiments.benchmarks import training
from experiments.command import flag_table
from experiments.command import launch
from experiments.results import output
from experiments.workers import hardware
from experiments.workers import in_process
from experiments.workers import local_runtime

FLAGS = flag_table.FlagTable('benchmark')
FLAGS.enum('what', 'training', ['training', 'round', 'runtimes', 'codecs', 'select', 'scale'], 'What to measure.')
FLAGS.list(
  'against',
  ['keras', 'tff'],
  'With what `training` compares, in commas: keras (a plain Keras loop), tff (stock TFF), torch (plain PyTorch, a process '
  'for each processor; also in bfloat16).',
)
FLAGS.check(
  'against',
  lambda names: set(names) <= rounds.AGAINST.keys(),
  'must be some of keras, tff and torch, as in keras,tff',
)
FLAGS.string('torch_python', 'python3', 'The Python that runs PyTorch, which has an environment of its own.')
FLAGS.integer('cores', 2, 'Processors that all contenders share; the rest is left alone.', lower_bound=1)
FLAGS.integer('repeats', 5, 'Measured turns of each contender, after one to warm up.', lower_bound=1)
FLAGS.integer(
  'memory_rounds', 200, 'Rounds of the memory measurement of `training` and `scale`; 0 leaves it out.', lower_bound=0
)
FLAGS.integer('population', 340_000, 'Training clients of `scale`.', lower_bound=50)
FLAGS.string('output_dir', None, 'Folder for the picture of `scale`; none is drawn without.')


def main(given: Mapping[str, Any]) -> None:
  """Measures what `--what` names and prints it."""
  os.environ.update(hardware.WITHOUT_GPUS)  # What is compared are processors.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given['cores']])
  if given['what'] == 'training':
    in_process.share_operations()
    if 'torch' in given['against']:
      torch_contender.require(given['torch_python'])
  if given['what'] == 'codecs':
    codecs.print_table(given['repeats'])
  if given['what'] == 'runtimes':
    runtimes_compared.print_comparison(given['repeats'])
    return
  with tempfile.TemporaryDirectory() as name, local_runtime.local_runtime(pathlib.Path(name, 'worker.log')) as worker:
    folder = pathlib.Path(name)
    if given['what'] == 'codecs':
      codecs.compare_with_tff(given['repeats'])
    elif given['what'] == 'round':
      parts.print_parts(folder, worker, given['repeats'])
    elif given['what'] == 'select':
      select.print_table(given['repeats'])
    elif given['what'] == 'scale':
      _measure_scale(given, folder, worker)
    else:
      training.compare_speed(folder, worker, given['repeats'], given['against'], given['torch_python'])
      if given['memory_rounds']:
        training.measure_memory(folder, worker, given['memory_rounds'])


def _measure_scale(given: Mapping[str, Any], folder: pathlib.Path, local_worker: local_runtime.LocalWorker) -> None:
  text = scale.prepared_population(given['population'])
  simulation = scale.Simulation(text)
  print(f'{simulation.num_clients:,} clients, {simulation.num_parameters:,} parameters', flush=True)
  rows = scale.measure_sizes(simulation, local_worker.pid, given['repeats'])
  scale.print_table(rows)
  scale.print_line(rows)
  if given['output_dir']:
    output.make(pathlib.Path(given['output_dir']))
    scale.plot(rows, pathlib.Path(given['output_dir'], 'scale.png'))
  if given['memory_rounds']:
    memory_slope.print_slopes(lambda: simulation.advance(scale.MEMORY_CLIENTS), [local_worker], given['memory_rounds'])
  scale.print_table(scale.measure_workers(text, folder, given['repeats']))


if __name__ == '__main__':
  launch.launch(main, FLAGS)
