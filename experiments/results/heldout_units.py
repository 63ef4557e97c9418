"""`heldout.csv`: how a run's last model did on each unit that it was judged by, so that runs can be compared in pairs.

A unit is a held-out client if it is a user, as any of a language model, since what one user has is alike; of a classifier
whose held-out clients are parts of one pile it is an example.
"""

import csv
import io
import pathlib
from typing import NamedTuple

import numpy as np

from experiments.results import columns
from experiments.results import metrics
from experiments.results import output

FILE = 'heldout.csv'
COLUMNS = columns.names(columns.HELDOUT)


class HeldoutUnits(NamedTuple):
  """What a model did on n units.

  Attributes:
    names: For each unit the id of the client and the number of the example, from 0, empty for a whole client; a linear
      probe, which takes all held-out examples together, leaves the id empty.
    num_predicted: float64 [n], the tokens or examples that were predicted: what losses are averaged over.
    loss_sum: float64 [n], their cross-entropy in nats; None if a probe was asked for classes only.
    num_correct: float64 [n], how many were right.
  """

  names: list[tuple[str, str]]
  num_predicted: np.ndarray
  loss_sum: np.ndarray | None
  num_correct: np.ndarray

  @property
  def are_examples(self) -> bool:
    """Whether units are examples, not clients."""
    return any(example for _, example in self.names)

  def with_predictions(self) -> 'HeldoutUnits':
    """Returns the units that have anything to predict."""
    kept = self.num_predicted > 0
    names = [name for name, keep in zip(self.names, kept, strict=True) if keep]
    loss_sum = None if self.loss_sum is None else self.loss_sum[kept]
    return HeldoutUnits(names, self.num_predicted[kept], loss_sum, self.num_correct[kept])


def of_examples(correct: np.ndarray) -> HeldoutUnits:
  """Returns the units of examples of which nothing is known but whether they were classified rightly, bool [n]."""
  names = [('', str(number)) for number in range(len(correct))]
  return HeldoutUnits(names, np.ones(len(correct)), None, correct.astype(np.float64))


def write(units: HeldoutUnits, folder: pathlib.Path) -> None:
  """Writes the file of a run; a reader, or a restart after a kill, sees the old one or the new one."""
  losses = [metrics.NOT_MEASURED] * len(units.names) if units.loss_sum is None else map(_text, units.loss_sum)
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(COLUMNS)
  for name, predicted, loss, correct in zip(units.names, units.num_predicted, losses, units.num_correct, strict=True):
    writer.writerow([*name, _text(predicted), loss, _text(correct)])
  output.write_text(folder / FILE, text.getvalue())


def _text(value: float) -> str:
  """Returns the shortest text that is read as the same number."""
  return repr(float(value)).removesuffix('.0')


def read(folder: pathlib.Path) -> HeldoutUnits | None:
  """Reads the file of a run; None if there is none. Raises `ValueError` if it is not what `write` leaves."""
  path = folder / FILE
  if not path.exists():
    return None
  try:
    with path.open(newline='', encoding='utf-8') as file:
      header, *rows = csv.reader(file)
    client_ids, examples, predicted, losses, correct = zip(*rows, strict=True)
    names = list(zip(client_ids, examples, strict=True))
    if tuple(header) != COLUMNS or len(set(names)) < len(names):
      raise ValueError(f'{path} has other columns, or a unit twice')
    loss_sum = None if set(losses) == {metrics.NOT_MEASURED} else np.array(losses, np.float64)
    return HeldoutUnits(names, np.array(predicted, np.float64), loss_sum, np.array(correct, np.float64))
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
