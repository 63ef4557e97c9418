"""Rounds of clients that hold a part of the model: equal to the plain process, to NumPy, and to bytes counted by hand."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from models import language_task
from models import lstm
from optimizers import devices as devices_lib
from optimizers import policies
from optimizers import selection as selection_lib
from tests import tiny_language
from tests import tiny_task
from tests.optimizers import select_rounds

pytestmark = pytest.mark.usefixtures('worker')

_TASK = tiny_language.task()
_MIXED = selection_lib.Selection(vocabulary=16, neurons=0.5, heads=0.5)

# Values of the parts of the tiny Transformer: width 8, 64 neurons and 2 heads of 4 in a block, vocabulary 32.
# a row of the vocabulary: 8 of the table and 1 of the bias                                                     9
# a head: 8 * 4 of each of query, key and value kernel, 4 of each of their biases, 4 * 8 of the output kernel   140
# a neuron: 8 of the up kernel, 1 of its bias, 8 of the down kernel                                             17
# the rest of a block: 2 * 8 of two normalizations each, 8 of two output biases each                            48
# the rest of the head: normalization                                                                           16


def test_everything_selected_equals_the_plain_process():
  task = tiny_language.task()
  _, _, plain = select_rounds.run(select_rounds.process(task), num_rounds=2)
  _, _, chosen = select_rounds.run(select_rounds.process(task, vocabulary=32, neurons=1.0, heads=1.0), num_rounds=2)
  for one, two in zip(plain, chosen, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_everything_selected_equals_the_plain_process_with_an_lstm():
  task = language_task.build(lstm.lstm(width=8, num_cells=32)(tiny_language.VOCABULARY), tiny_language.LENGTH)
  _, _, plain = select_rounds.run(select_rounds.process(task))
  _, _, chosen = select_rounds.run(select_rounds.process(task, vocabulary=32, neurons=1.0))
  for one, two in zip(plain, chosen, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_mixed_keys_bytes():
  process = _selecting(_MIXED)
  _, metrics, _ = select_rounds.run(process)
  # 16 rows of 9, 1 head of 140, 32 neurons of 17 and 64 others are 144 + 140 + 544 + 64 = 892 values of 4 bytes for
  # each of 3 clients.
  assert metrics['distributor']['download_bytes'] == 3 * 3568
  aggregator = metrics['aggregator']
  assert aggregator['upload_bytes_values'] == 3 * 3568
  # A bit for each of 20 variables in 3 bytes, of 32 rows in 4, of 2 heads in 1 and of 4 keys of 16 neurons in 1.
  assert aggregator['upload_bytes_side'] == 3 * 9
  assert aggregator['upload_bytes_weights'] == 3 * 4
  assert aggregator['upload_bytes'] == 3 * 3581
  assert aggregator['upload_bytes_per_client_max'] == 3581
  assert metrics['client_work']['trained_parameters'] == 3 * 892


def test_only_selected_units_move():
  process = _selecting(_MIXED)
  state = process.initialize()
  before = select_rounds.weights(state)
  for round_number in (1, 2):
    chosen = {axis: set.union(*sets) for axis, sets in select_rounds.keys(_MIXED, _TASK, round_number).items()}
    state, _, after = select_rounds.run(process, state=state)
    for variable, one, two in zip(_TASK.model.variables, before, after, strict=True):
      if variable.units is None:
        assert np.any(one != two)
      else:
        moved = select_rounds.moved_units(variable, one, two)
        assert moved
        assert set(moved) <= set(chosen[variable.units.axis])
    before = after


def test_a_client_without_examples_changes_nothing_and_sends_nothing():
  process = _selecting(_MIXED)
  _, alone, weights = select_rounds.run(process)
  clients = [tiny_language.client(key) for key in select_rounds.CLIENTS]
  _, disturbed, disturbed_weights = select_rounds.run(process, clients=[*clients, tiny_language.of_tokens([])])
  for one, two in zip(weights, disturbed_weights, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)
  # Its presence bits and its weight.
  assert disturbed['aggregator']['upload_bytes'] - alone['aggregator']['upload_bytes'] == 3 + 4
  assert disturbed['distributor']['download_bytes'] - alone['distributor']['download_bytes'] == 3568


def test_only_clients_without_examples():
  process = _selecting(_MIXED)
  before = select_rounds.weights(process.initialize())
  _, _, after = select_rounds.run(process, clients=[tiny_language.of_tokens([])] * 2)
  for one, two in zip(before, after, strict=True):
    np.testing.assert_array_equal(one, two)


def test_the_process_has_the_methods_of_any_other():
  process = _selecting(_MIXED)
  state, _, weights = select_rounds.run(process)
  for one, two in zip(process.get_model_weights(state).trainable, weights, strict=True):
    np.testing.assert_array_equal(one, two)
  zeros = tf.nest.map_structure(np.zeros_like, process.get_model_weights(state))
  changed = process.set_model_weights(state, zeros)
  assert not any(np.any(weight) for weight in select_rounds.weights(changed))
  assert changed.distributor == state.distributor
  assert len(process.get_hparams(state)) == 0


@functools.lru_cache
def _selecting(selection):
  return select_rounds.process(
    tiny_language.task(), vocabulary=selection.vocabulary, neurons=selection.neurons, heads=selection.heads
  )


def test_bytes_beside_structured_keys():
  task, selected = tiny_language.task(num_layers=2, mlp_width=16), dict(blocks=1, vocabulary=16)
  process = select_rounds.process(task, **selected)
  state = process.initialize()
  before = select_rounds.weights(state)
  (chosen,) = select_rounds.keys(selection_lib.Selection(**selected), task, client_keys=[2])['blocks'][0]
  _, metrics, after = select_rounds.run(process, state=state, clients=[tiny_language.client(2)])
  # A block is 2 heads of 140, 16 neurons of 17 and 48 others: 600 values; beside it 16 rows of 9 and 16 others.
  assert metrics['distributor']['download_bytes'] == 4 * (600 + 144 + 16)
  assert metrics['aggregator']['upload_bytes_values'] == 3040
  # A bit for each of 36 variables in 5 bytes and of 32 rows in 4.
  assert metrics['aggregator']['upload_bytes_side'] == 9
  assert metrics['client_work']['trained_parameters'] == 760
  moved = {v.block for v, one, two in zip(task.model.variables, before, after, strict=True) if np.any(one != two)}
  assert moved == {'embedding', 'head', f'block_{chosen}'}


def test_a_client_trains_the_model_of_its_blocks():
  task = tiny_task.residual_task(4)
  process, plain = select_rounds.process(task, blocks=2), select_rounds.process(tiny_task.residual_task(2))
  state, start = process.initialize(), plain.initialize()
  for client_key in (1, 2, 3):
    one, two = sorted(
      select_rounds.keys(selection_lib.Selection(blocks=2), task, client_keys=[client_key])['blocks'][0]
    )
    held = [2 * one, 2 * one + 1, 2 * two, 2 * two + 1, 8]  # A kernel and a bias for each block, and the head's bias.
    weights = process.get_model_weights(state)
    start = plain.set_model_weights(start, type(weights)(tuple(weights.trainable[index] for index in held), ()))
    clients = [select_rounds.regression_client(client_key)]
    _, _, expected = select_rounds.run(plain, state=start, clients=clients)
    _, metrics, found = select_rounds.run(process, state=state, clients=clients)
    for index, weight in zip(held, expected, strict=True):
      np.testing.assert_allclose(found[index], weight, rtol=1e-5, atol=1e-6)
    for index in set(range(9)).difference(held):
      np.testing.assert_array_equal(found[index], weights.trainable[index])
    # 2 blocks of 4 + 2 values and the head's bias; up also 9 bits and a weight.
    assert metrics['distributor']['download_bytes'] == 52
    assert metrics['aggregator']['upload_bytes'] == 52 + 2 + 4


def test_blocks_are_means_over_the_clients_that_held_them():
  task, process = tiny_task.residual_task(3), select_rounds.process(tiny_task.residual_task(3), blocks=1)
  before = select_rounds.weights(process.initialize())
  alone = {}
  for key in range(1, 6):
    (block,) = select_rounds.keys(selection_lib.Selection(blocks=1), task, client_keys=[key])['blocks'][0]
    _, _, after = select_rounds.run(process, clients=[select_rounds.regression_client(key)])
    alone.setdefault(block, []).append(after[2 * block])
  _, _, together = select_rounds.run(process, clients=[select_rounds.regression_client(key) for key in range(1, 6)])
  for block in range(3):  # All clients have 4 examples.
    expected = np.mean(alone[block], axis=0) if block in alone else before[2 * block]
    np.testing.assert_allclose(together[2 * block], expected, rtol=1e-5, atol=1e-6)


def test_a_policy_decides_which_of_the_chosen_blocks_train():
  task = tiny_task.residual_task(3)
  process = select_rounds.process(task, devices_lib.Devices((policies.Suffix(blocks=1),), (1.0,)), blocks=1)
  before, seen = select_rounds.weights(process.initialize()), set()
  for client_key in range(1, 7):
    (chosen,) = select_rounds.keys(selection_lib.Selection(blocks=1), task, client_keys=[client_key])['blocks'][0]
    _, _, after = select_rounds.run(process, clients=[select_rounds.regression_client(client_key)])
    moved = {v.block for v, one, two in zip(task.model.variables, before, after, strict=True) if np.any(one != two)}
    assert moved == ({'block_2', 'head'} if chosen == 2 else {'head'})
    seen.add(chosen == 2)
  assert len(seen) == 2


def test_tiers_receive_and_send_their_slices_and_windows_roll():
  task = tiny_task.two_layer_task(64)
  devices = devices_lib.Devices((policies.Width(fraction=0.25), policies.Width(fraction=0.5)), (0.5, 0.5))
  by_tier = {int(devices.tier(tf.constant(key, tf.int64))): select_rounds.regression_client(key) for key in range(20)}
  process = select_rounds.process(task, devices)
  # 16 or 32 neurons of 2 + 1 values each, and the bias.
  for tier, num_values in ((0, 49), (1, 97)):
    _, metrics, _ = select_rounds.run(process, clients=[by_tier[tier]])
    assert metrics['distributor']['download_bytes'] == 4 * num_values
    assert metrics['aggregator']['upload_bytes_values'] == 4 * num_values
    # A bit for each of 3 variables in a byte, and which tier.
    assert metrics['aggregator']['upload_bytes_side'] == 2
  state = process.initialize()
  before = select_rounds.weights(state)
  # The windows of round r begin at key r of 16 neurons each, and go round.
  for neurons in (range(16, 48), range(32, 64), [*range(16), *range(48, 64)]):
    state, metrics, after = select_rounds.run(process, state=state, clients=list(by_tier.values()))
    assert metrics['distributor']['download_bytes'] == 4 * (49 + 97)
    for variable, one, two in zip(task.model.variables[:2], before, after, strict=False):
      assert select_rounds.moved_units(variable, one, two) == set(neurons)
    before = after


def test_frozen_variables_do_not_travel_in_slices_either():
  task = tiny_language.task()
  process = select_rounds.process(task, devices_lib.Devices((policies.Frozen(),), (1.0,)), vocabulary=16)
  before = select_rounds.weights(process.initialize())
  _, metrics, after = select_rounds.run(process)
  # 16 values of the output bias; 24 + 8 of the attention's biases, 64 + 8 of the MLP's, 3 normalizations of 16: scales
  # are drawn too, which leaves their biases, 3 times 8.
  assert metrics['distributor']['download_bytes'] == 3 * 4 * (16 + 32 + 72 + 24)
  for variable, one, two in zip(task.model.variables, before, after, strict=True):
    assert bool(np.any(one != two)) == variable.is_additive


@pytest.mark.parametrize(
  ('policy', 'selected', 'message'),
  [
    pytest.param(
      policies.Width(fraction=0.5),
      dict(vocabulary=16),
      'select does not combine with a policy of sub-models',
      id='width',
    ),
    pytest.param(
      policies.Frozen(blocks=1), dict(blocks=1), 'does not combine with frozen variables in blocks', id='frozen_blocks'
    ),
  ],
)
def test_refuses(policy, selected, message):
  with pytest.raises(ValueError, match=message) as refusal:
    select_rounds.process(tiny_language.task(num_layers=2), devices_lib.Devices((policy,), (1.0,)), **selected)
  assert '\n' not in str(refusal.value)
