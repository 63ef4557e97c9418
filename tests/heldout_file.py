"""What `heldout.csv` of a run must add up to: the run's own last evaluation, from which it is computed apart."""

import csv
import json
import math
import pathlib

import pytest


def read(output_dir: pathlib.Path) -> list[dict[str, str]]:
  """Returns the rows of `heldout.csv`."""
  with (output_dir / 'heldout.csv').open(newline='') as file:
    return list(csv.DictReader(file))


def check(output_dir: pathlib.Path, *, examples: bool) -> None:
  """Asserts that the units, examples or clients, add up to the last row of `metrics.csv`."""
  rows = read(output_dir)
  with (output_dir / 'metrics.csv').open(newline='') as file:
    last = list(csv.DictReader(file))[-1]
  predicted, losses, correct = (
    math.fsum(float(row[name]) for row in rows) for name in ('num_predicted', 'loss_sum', 'num_correct')
  )
  assert losses / predicted == pytest.approx(float(last['eval/loss']), rel=1e-5)
  assert correct / predicted == pytest.approx(float(last['eval/accuracy']), abs=1e-5)
  if last['eval/perplexity']:
    assert math.exp(losses / predicted) == pytest.approx(float(last['eval/perplexity']), rel=1e-5)
  assert len({(row['client_id'], row['example']) for row in rows}) == len(rows) > 1
  assert {bool(row['example']) for row in rows} == {examples}
  if examples:
    assert {row['num_predicted'] for row in rows} == {'1'}
    assert {row['num_correct'] for row in rows} <= {'0', '1'}


def check_probe(output_dir: pathlib.Path) -> None:
  """Asserts that the examples of a probe come to the accuracy in `summary.json`."""
  rows = read(output_dir)
  correct = [int(row['num_correct']) for row in rows]
  expected = json.loads((output_dir / 'summary.json').read_text())['probe/accuracy']
  assert sum(correct) / len(correct) == pytest.approx(expected, abs=1e-12)
  assert [(row['client_id'], row['example'], row['loss_sum']) for row in rows] == [
    ('', str(number), '') for number in range(len(rows))
  ]
