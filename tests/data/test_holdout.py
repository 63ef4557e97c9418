"""A tenth of the clients is held out, and a tenth of the others for validation, the same ones every time."""

import pytest

from data import holdout


@pytest.mark.parametrize(('num_clients', 'num_heldout'), [(0, 0), (1, 0), (2, 1), (19, 1), (20, 2), (1000, 100)])
def test_holds_out_a_tenth_and_at_least_one_of_two(num_clients: int, num_heldout: int):
  clients = [f'client {number}' for number in range(num_clients)]
  chosen = holdout.choose(clients)
  assert len(chosen) == num_heldout
  assert chosen <= set(clients)
  assert holdout.choose(reversed(clients)) == chosen


def test_holds_out_as_many_as_asked_for():
  assert len(holdout.choose(map(str, range(20)), one_in=5)) == 4


@pytest.mark.parametrize(('num_clients', 'num_chosen'), [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (1000, 100)])
def test_a_tenth_of_the_training_clients_are_for_validation_and_none_of_few(num_clients: int, num_chosen: int):
  clients = [f'client {number}' for number in range(num_clients)]
  chosen = holdout.choose_validation(clients)
  assert len(chosen) == num_chosen
  assert chosen <= set(clients)
  assert holdout.choose_validation(reversed(clients)) == chosen
  examples = holdout.choose_validation_examples(num_clients)
  assert len(examples) == num_chosen
  assert sorted(set(examples.tolist())) == examples.tolist()
