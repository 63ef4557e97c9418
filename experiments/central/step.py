"""One step of a central training: Adam at a rate that rises and falls, on clipped gradients."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Protocol

import tensorflow as tf
import tensorflow_federated as tff

from models import gradients
from models import model as model_lib
from models import task as task_lib

_DROPOUT = 1  # Keeps the draws of dropout apart from those of the initial weights.


class Rates(Protocol):
  """What a step is told of a `training.CentralConfig`."""

  steps: int
  learning_rate: float
  warmup_steps: int
  clip_norm: float
  seed: int


def build_optimizer(config: Rates) -> tff.learning.optimizers.Optimizer:
  """Builds Adam with the learning rate of `config`."""
  decay = tf.keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=0.0,
    decay_steps=max(1, config.steps + 1 - config.warmup_steps),
    warmup_target=config.learning_rate,
    warmup_steps=config.warmup_steps,
  )
  adam = tff.learning.optimizers.build_adam(config.learning_rate)
  return tff.learning.optimizers.schedule_learning_rate(adam, lambda step: decay(step + 1))


def initial_state(optimizer: tff.learning.optimizers.Optimizer, model: model_lib.Model) -> Any:
  """Returns the optimizer's state for a model, in tensors."""
  # Tensors from the first step on: a hyper-parameter that is a Python number would be computed with in double precision.
  return tf.nest.map_structure(tf.convert_to_tensor, optimizer.initialize(_specs(model)))


def build(
  task: task_lib.Task, optimizer: tff.learning.optimizers.Optimizer, config: Rates
) -> Callable[..., tuple[model_lib.Weights, Any, Mapping[str, tf.Tensor]]]:
  """Builds the function of one step: from (weights, optimizer state, batch, step) to the first two and measures."""

  @tf.function(autograph=False)
  def step(weights, optimizer_state, batch, index):
    seed = tf.random.experimental.stateless_fold_in(tf.constant([config.seed, _DROPOUT], tf.int64), index)
    trained = [True] * len(weights)
    measures, found = gradients.gradients(task, weights, trained, batch, seed)
    found, _ = tf.clip_by_global_norm(found, config.clip_norm)
    optimizer_state, weights = optimizer.next(optimizer_state, weights, tuple(found))
    return weights, optimizer_state, measures

  return step


def traced(task: task_lib.Task, config: Rates) -> list[tf.types.experimental.ConcreteFunction]:
  """Returns all that a training computes, traced, which can be named by that: how it begins, a step, how it is judged."""
  optimizer = build_optimizer(config)
  state = tf.nest.map_structure(tf.TensorSpec.from_tensor, initial_state(optimizer, task.model))
  batch = {
    name: tf.TensorSpec([None, *spec.shape], spec.dtype)
    for name, spec in task.example_spec.items()
    if name != 'client_key'
  }
  weights, index = _specs(task.model), tf.TensorSpec([], tf.int64)
  begin = tf.function(lambda: task.model.initial_weights(config.seed), autograph=False)
  judge = tf.function(task.evaluate, autograph=False)
  return [
    begin.get_concrete_function(),
    build(task, optimizer, config).get_concrete_function(weights, state, batch, index),
    judge.get_concrete_function(weights, batch),
  ]


def _specs(model: model_lib.Model) -> tuple[tf.TensorSpec, ...]:
  return tuple(tf.TensorSpec(variable.shape, tf.float32) for variable in model.variables)
