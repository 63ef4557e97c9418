"""How fast is a round here, against stock TFF on the same two cores and the same model?

    python -m experiments.benchmark --what=training

Contenders take turns in one call, so that a busy machine disturbs all of them alike; each figure is the median over
rounds. Then a tiny model trains for 200 rounds and the slope of both processes' memory is printed.
"""

import pathlib
import tempfile

from absl import flags

from experiments import benchmark_training
from experiments import launch
from experiments import runtime

_WHAT = flags.DEFINE_enum('what', 'training', ['training'], 'What to measure.')
_REPEATS = flags.DEFINE_integer(
  'repeats', 5, 'Measured rounds for each contender, after one to warm up.', lower_bound=1
)
_MEMORY_ROUNDS = flags.DEFINE_integer(
  'memory_rounds', 200, 'Rounds of the memory measurement; 0 leaves it out.', lower_bound=0
)


def main() -> None:
  """Measures what `--what` names and prints it."""
  with tempfile.TemporaryDirectory() as folder, runtime.local_runtime(pathlib.Path(folder) / 'worker.log') as worker:
    benchmark_training.compare_speed(pathlib.Path(folder), _REPEATS.value)
    if _MEMORY_ROUNDS.value:
      benchmark_training.measure_memory(pathlib.Path(folder), worker, _MEMORY_ROUNDS.value)


if __name__ == '__main__':
  launch.launch(main)
