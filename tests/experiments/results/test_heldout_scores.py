"""Held-out units of every kind of task: each is what the task measures of it alone, and they add up to the evaluation."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from data import population
from experiments.results import heldout_scores
from models import bert
from models import byol
from models import classification_task
from models import image_task
from models import language_task
from models import masked_language_task
from models import self_supervised_task
from models import simclr
from models import simsiam
from models import transformer
from models import vit
from optimizers import evaluation

_LENGTH, _VOCABULARY, _IMAGE = 5, 12, (4, 4, 1)
_BERT = bert.bert(width=8, mlp_width=8, num_layers=1, num_heads=2, max_length=_LENGTH, dropout=0.0)
_VIT = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=2, patch_size=2)
_SIZES = dict(aa=70, bb=3, cc=0)  # More than a batch, less than one, and nothing.


def _language():
  model = transformer.transformer(width=8, mlp_width=8, num_layers=1, num_heads=2)(_VOCABULARY)
  return language_task.build(model, _LENGTH - 1)


def _self_supervised(objective):
  return lambda: self_supervised_task.build(objective(width=4, outputs=4), _VIT, _IMAGE)


# By name a task, and whether its units are examples; None for a task that compares examples with each other.
_TASKS = {
  'language': (_language, False),
  'masked': (lambda: masked_language_task.build(_BERT, _VOCABULARY, _LENGTH, 1, [2, 3]), False),
  'classification': (lambda: classification_task.build(_BERT.classifier(_VOCABULARY, 3), _LENGTH), True),
  'image': (lambda: image_task.build(_VIT.classifier(_IMAGE, 3), _IMAGE), True),
  'simclr': (_self_supervised(simclr.simclr), None),
  'simsiam': (_self_supervised(simsiam.simsiam), None),
  'byol': (_self_supervised(byol.byol), None),
}


def _clients(task):
  draw, clients = np.random.default_rng(0), {}
  highs = dict(tokens=_VOCABULARY, label=3, image=256, client_key=9)
  for client_id, size in _SIZES.items():
    clients[client_id] = collections.OrderedDict(
      (name, draw.integers(0, highs[name], [size, *spec.shape]).astype(spec.dtype.as_numpy_dtype))
      for name, spec in task.example_spec.items()
    )
  return tff.simulation.datasets.TestClientData(clients), clients


@pytest.mark.parametrize('name', _TASKS)
def test_a_task_that_compares_examples_has_no_units(name):
  build, of_examples = _TASKS[name]
  task = build()
  data, _ = _clients(task)
  assert (heldout_scores.of(task, population.Population(data, data, 'hash')) is None) == (of_examples is None)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('name', [name for name, (_, of_examples) in _TASKS.items() if of_examples is not None])
def test_units_add_up_to_the_federated_evaluation(name):
  build, of_examples = _TASKS[name]
  task = build()
  data, _ = _clients(task)
  weights = task.model.initial_weights(0)
  units = heldout_scores.HeldoutScores(task, data)(weights, list(_SIZES))
  datasets = [data.create_tf_dataset_for_client(client_id) for client_id in _SIZES]
  expected = evaluation.build_evaluation(task)(weights, datasets)
  for measure, values in (
    ('loss_sum', units.loss_sum),
    ('correct_sum', units.num_correct),
    ('weight_sum', units.num_predicted),
  ):
    assert values.sum() == pytest.approx(float(expected[measure]), rel=1e-5, abs=1e-5), measure
  of_clients = [(client_id, '') for client_id in _SIZES]
  every = [(client_id, str(number)) for client_id, size in _SIZES.items() for number in range(size)]
  assert units.names == (every if of_examples else of_clients)


def test_a_user_is_one_unit_and_adds_up_its_examples():
  (task, *_) = [build() for build, of_examples in _TASKS.values() if of_examples]
  data, _ = _clients(task)
  weights = task.model.initial_weights(0)
  pile, users = (
    heldout_scores.of(task, population.Population(data, data, 'hash', judges_are_users=are_users))(
      weights, list(_SIZES)
    )
    for are_users in (False, True)
  )
  assert users.names == [(client_id, '') for client_id in _SIZES] and not users.are_examples and pile.are_examples
  for row, (client_id, size) in enumerate(_SIZES.items()):
    own = [number for number, (name, _) in enumerate(pile.names) if name == client_id]
    assert len(own) == size == users.num_predicted[row]
    assert users.num_correct[row] == pile.num_correct[own].sum()
    assert users.loss_sum[row] == pytest.approx(pile.loss_sum[own].sum(), rel=1e-6)


@pytest.mark.parametrize('name', [name for name, (_, of_examples) in _TASKS.items() if of_examples])
def test_an_example_is_what_it_is_alone(name):
  task = _TASKS[name][0]()
  data, arrays = _clients(task)
  weights = task.model.initial_weights(0)
  units = heldout_scores.HeldoutScores(task, data)(weights, ['bb', 'aa'])
  for row, (client_id, number) in ((0, ('bb', 0)), (2, ('bb', 2)), (3, ('aa', 0)), (3 + 69, ('aa', 69))):
    assert units.names[row] == (client_id, str(number))
    batch = {key: tf.constant(values[number : number + 1]) for key, values in arrays[client_id].items()}
    measures = task.evaluate(weights, batch)
    assert units.loss_sum[row] == pytest.approx(float(measures['loss_sum']), rel=1e-5)
    assert units.num_correct[row] == float(measures['correct_sum'])
