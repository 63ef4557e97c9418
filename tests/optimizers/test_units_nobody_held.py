"""A unit that no client of a round held is the same after it, bit for bit, whatever the server's optimizer remembers."""

import numpy as np
import pytest
import tensorflow as tf

from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_adam
from optimizers import policies
from optimizers import schedules
from optimizers import selection as selection_lib
from tests import tiny_language
from tests import tiny_task
from tests.optimizers import select_rounds

pytestmark = pytest.mark.usefixtures('worker')

_MOMENTUM = fed_opt.fed_avgm(client_lr=0.5)
_SERVERS = (
  pytest.param(_MOMENTUM, id='momentum'),
  pytest.param(fed_opt.fed_adagrad(client_lr=0.5), id='adagrad'),
  pytest.param(fed_opt.fed_adam(client_lr=0.5, server_schedule=schedules.linear(rounds=9)), id='adam'),
  pytest.param(fed_opt.fed_yogi(client_lr=0.5), id='yogi'),
  pytest.param(local_adam.local_adam(momentum=0.9), id='local_adam'),
)


def _slots(state):
  """What the server's optimizer keeps for each variable, but for its hyper-parameters, which are numbers."""
  states = state.finalizer if isinstance(state.finalizer, tuple) else state.finalizer['states']
  return [{name: np.asarray(slot) for name, slot in each.items() if np.ndim(slot)} for each in states]


def _check(variables, before, after, held):
  """Checks that of every sliced variable no unit but held ones moved, nor its optimizer's state."""
  for index, (variable, one, two) in enumerate(
    zip(variables, select_rounds.weights(before), select_rounds.weights(after), strict=True)
  ):
    if variable.units is None:
      continue
    moved = select_rounds.moved_units(variable, one, two)
    assert moved, variable.name
    assert set(moved) <= set(held[variable.units.axis]), variable.name
    for name in _slots(before)[index]:
      both = (np.broadcast_to(each[index][name], variable.shape) for each in (_slots(before), _slots(after)))
      assert set(select_rounds.moved_units(variable, *both)) <= set(held[variable.units.axis]), (
        f'{name} of {variable.name}'
      )


@pytest.mark.parametrize('build', [_SERVERS[0], _SERVERS[-1]])  # All of them in windows below: slots are kept alike.
def test_selected_units(build):
  task, selected = tiny_language.task(), dict(vocabulary=8, neurons=0.25, heads=0.5)
  process = select_rounds.process(task, build=build, **selected)
  before, _, _ = select_rounds.run(process)
  after, _, _ = select_rounds.run(process, state=before, clients=[tiny_language.client(5)])
  chosen = select_rounds.keys(selection_lib.Selection(**selected), task, round_number=2, client_keys=[5])
  _check(task.model.variables, before, after, {axis: units for axis, (units,) in chosen.items()})


@pytest.mark.parametrize(
  ('build', 'denominator'),
  [
    *(pytest.param(*server.values, 'trained', id=server.id) for server in _SERVERS),
    pytest.param(_MOMENTUM, 'all', id='all'),
  ],
)
def test_windows_that_roll(build, denominator):
  task = tiny_task.two_layer_task(64)
  process = select_rounds.process(task, devices_lib.Devices((policies.Width(0.5, denominator=denominator),)), build)
  before, _, _ = select_rounds.run(process, clients=[select_rounds.regression_client(1)])
  after, _, _ = select_rounds.run(process, state=before, clients=[select_rounds.regression_client(2)])
  # Of 4 keys of 16 neurons, round 1 has the second and third, round 2 the third and fourth.
  _check(task.model.variables, before, after, dict(neurons=set(range(32, 64))))


@pytest.mark.parametrize('build', [_SERVERS[2], _SERVERS[-1]])
def test_a_round_of_the_smaller_tier(build):
  task = tiny_task.two_layer_task(64)
  tiers = (policies.Width(fraction=0.25, rolling=False), policies.Width(fraction=0.75, rolling=False))
  devices = devices_lib.Devices(tiers, (0.5, 0.5))
  by_tier = {int(devices.tier(tf.constant(key, tf.int64))): select_rounds.regression_client(key) for key in range(20)}
  process = select_rounds.process(task, devices, build)
  before, _, _ = select_rounds.run(process, clients=list(by_tier.values()))
  after, _, _ = select_rounds.run(process, state=before, clients=[by_tier[0]])
  _check(task.model.variables, before, after, dict(neurons=set(range(16))))


def test_blocks():
  task = tiny_task.residual_task(4)
  process = select_rounds.process(task, build=fed_opt.fed_adam(client_lr=0.5), blocks=1)
  before, _, _ = select_rounds.run(process, clients=[select_rounds.regression_client(key) for key in range(1, 9)])
  after, _, _ = select_rounds.run(process, state=before, clients=[select_rounds.regression_client(1)])
  ((block,),) = select_rounds.keys(selection_lib.Selection(blocks=1), task, round_number=2, client_keys=[1])['blocks']
  moved = {
    v.block
    for v, one, two in zip(
      task.model.variables, select_rounds.weights(before), select_rounds.weights(after), strict=True
    )
    if (one != two).any()
  }
  assert moved == {'head', f'block_{block}'}


def test_nobody_answers():
  task = tiny_language.task()
  process = select_rounds.process(task, build=fed_opt.fed_adam(client_lr=0.5), vocabulary=8, neurons=0.25)
  before, _, _ = select_rounds.run(process)
  after, _, _ = select_rounds.run(process, state=before, clients=[tiny_language.of_tokens([])] * 2)
  for one, two in zip(select_rounds.weights(before), select_rounds.weights(after), strict=True):
    np.testing.assert_array_equal(one, two)
  tf.nest.map_structure(np.testing.assert_array_equal, _slots(before), _slots(after))
