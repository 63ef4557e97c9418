"""How fast is the suite here, against stock TFF on the same two cores?

    python -m experiments.benchmark --what=training
    python -m experiments.benchmark --what=codecs
    python -m experiments.benchmark --what=select

Contenders take turns in one call, so that a busy machine disturbs all of them alike; each figure is the median.
`training` runs rounds of the same Keras models, then a tiny model for 200 rounds, and prints the slope of both
processes' memory. `codecs` encodes and adds up an update of 21 M parameters, in plain TensorFlow and inside TFF.
`select` sends clients the rows of a vocabulary that they ask for, by keys that stand for more or fewer rows.
"""

import pathlib
import tempfile

from absl import flags

from experiments import benchmark_codecs
from experiments import benchmark_select
from experiments import benchmark_training
from experiments import launch
from experiments import runtime

_WHAT = flags.DEFINE_enum('what', 'training', ['training', 'codecs', 'select'], 'What to measure.')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'Measured turns of each contender, after one to warm up.', lower_bound=1)
_MEMORY_ROUNDS = flags.DEFINE_integer(
  'memory_rounds', 200, 'Rounds of the memory measurement of `training`; 0 leaves it out.', lower_bound=0
)


def main() -> None:
  """Measures what `--what` names and prints it."""
  if _WHAT.value == 'codecs':
    benchmark_codecs.print_table(_REPEATS.value)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    with runtime.local_runtime(folder / 'worker.log') as worker:
      if _WHAT.value == 'codecs':
        benchmark_codecs.compare_with_tff(_REPEATS.value)
      elif _WHAT.value == 'select':
        benchmark_select.print_table(_REPEATS.value)
      else:
        benchmark_training.compare_speed(folder, _REPEATS.value)
        if _MEMORY_ROUNDS.value:
          benchmark_training.measure_memory(folder, worker, _MEMORY_ROUNDS.value)


if __name__ == '__main__':
  launch.launch(main)
