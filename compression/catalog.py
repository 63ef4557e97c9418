"""The catalogue of stages: names in `--upload` and `--download` to builders. A new stage is its file and one line here."""

from collections.abc import Callable

from compression import stage
from compression import uniform


def identity() -> None:
  """The values travel as they are: a link of a chain that adds no stage."""


STAGES: dict[str, Callable[..., stage.Stage | None]] = {
  'identity': identity,
  'uniform': uniform.Uniform,
}
