"""`heldout.csv`: what is written is read, and what is not whole is refused."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest

from experiments.results import heldout_units

_CLIENTS = heldout_units.HeldoutUnits(
  [('b1', ''), ('a0', '')], np.array([30.0, 0.0]), np.array([123.4567890123, 0.0]), np.array([7.0, 0.0])
)


def test_a_file_by_hand(tmp_path):
  heldout_units.write(_CLIENTS, tmp_path)
  assert (tmp_path / 'heldout.csv').read_text() == (
    'client_id,example,num_predicted,loss_sum,num_correct\nb1,,30,123.4567890123,7\na0,,0,0,0\n'
  )
  heldout_units.write(heldout_units.of_examples(np.array([True, False])), tmp_path)
  assert (tmp_path / 'heldout.csv').read_text().splitlines()[1:] == [',0,1,,1', ',1,1,,0']
  assert [path.name for path in tmp_path.iterdir()] == ['heldout.csv']
  found = heldout_units.read(tmp_path)
  assert found.loss_sum is None and found.are_examples and not _CLIENTS.are_examples


@hypothesis.given(strategies.lists(strategies.floats(width=32), min_size=1, max_size=5))
@hypothesis.settings(deadline=None)
def test_every_number_comes_back(tmp_path_factory, losses):
  folder, n = tmp_path_factory.mktemp('run'), len(losses)
  units = heldout_units.HeldoutUnits(
    [('x', str(i)) for i in range(n)], np.full(n, 2.0), np.array(losses), np.full(n, 0.5)
  )
  heldout_units.write(units, folder)
  found = heldout_units.read(folder)
  assert found.names == units.names
  for name in ('num_predicted', 'loss_sum', 'num_correct'):
    np.testing.assert_array_equal(getattr(found, name), getattr(units, name))


def test_what_has_nothing_to_predict_is_left_out():
  found = _CLIENTS.with_predictions()
  assert found.names == [('b1', '')]
  assert [array.tolist() for array in found[1:]] == [[30.0], [123.4567890123], [7.0]]


@pytest.mark.parametrize(
  'text',
  [
    '',
    'client_id,example,num_predicted,loss_sum,num_correct\n',
    'client_id,example,num_predicted,loss_sum,num_correct\na,,1,2\n',
    'client_id,example,num_predicted,loss_sum,num_correct\na,,1,many,0\n',
    'client_id,example,num_predicted,loss_sum,num_correct\na,,1,2,0\na,,1,2,0\n',
    'client,example,num_predicted,loss_sum,num_correct\na,,1,2,0\n',
  ],
)
def test_another_file_is_refused(text, tmp_path):
  assert heldout_units.read(tmp_path) is None
  (tmp_path / 'heldout.csv').write_text(text)
  with pytest.raises(ValueError, match=r'heldout\.csv cannot be read'):
    heldout_units.read(tmp_path)
