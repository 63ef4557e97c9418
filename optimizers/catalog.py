"""The catalogue of algorithms: names in `--algorithm` to builders. A new algorithm is its builder and one line here."""

from optimizers import algorithms

ALGORITHMS = {
  'fed_adam': algorithms.fed_adam,
  'fed_avg': algorithms.fed_avg,
}
