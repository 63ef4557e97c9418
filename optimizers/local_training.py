"""A client's round in plain TensorFlow: local steps on explicit weights, of those variables that the client trains.

    for batch in local batches:  w_T <- optimizer(w_T, grad loss(w, batch));   update = w_received - w
    T: what the policy of the client's tier chooses

What is not in T is not differentiated. A client of a sub-model takes its units or blocks of the received weights, trains
those, and puts the update back where they were.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
from typing import NamedTuple

import tensorflow as tf

from compression import slices
from data import arguments
from models import model as model_lib
from models import task as task_lib
from optimizers import blocks as blocks_lib
from optimizers import client_dropout as client_dropout_lib
from optimizers import devices as devices_lib
from optimizers import full_gradient
from optimizers import held_part
from optimizers import local_batches
from optimizers import local_optimizer
from optimizers import local_steps
from optimizers import optimizer_slots
from optimizers import randomness
from optimizers import trainable

CLIENT_WEIGHTINGS = ('examples', 'uniform')


class Received(NamedTuple):
  """What reaches a client.

  Attributes:
    weights: float32, in the model's order, full shapes.
    round_seed: int64[2].
    round_number: int64 [], from 1.
    units: For each axis of which clients hold a part, the indices of the client's units, its own first: int32 [largest
      count]. If it holds some blocks only, `blocks` are theirs, ascending: int32 [number of blocks].
    slots: What the optimizer keeps of each variable, if the server shares it; else empty.
  """

  weights: tuple[tf.Tensor, ...]
  round_seed: tf.Tensor
  round_number: tf.Tensor
  units: Mapping[str, tf.Tensor]
  slots: tuple[optimizer_slots.Slots, ...] = ()


class Result(NamedTuple):
  """What a client's round gives.

  Attributes:
    delta: float32, received minus trained weights, full shapes; zero for what was not trained.
    gradient: Over all the client's data at the received weights, if the optimizer's state is shared; else empty.
    trained: bool [n].
    layout: int32 []: the client's tier.
    units: For each axis that a tier holds in part, the client's indices, padded by zeros: int32 [largest count].
    client_seed: int64[2], for encoding.
    weight: float32 []: what the update counts in the mean; 0 if it must not travel.
    measures: int64 counts and the task's float32 measures, which add up over clients.
    answers: bool []: whether the client is still there to send anything.
  """

  delta: tuple[tf.Tensor, ...]
  gradient: tuple[tf.Tensor, ...]
  trained: tf.Tensor
  layout: tf.Tensor
  units: collections.OrderedDict[str, tf.Tensor]
  client_seed: tf.Tensor
  weight: tf.Tensor
  measures: collections.OrderedDict[str, tf.Tensor]
  answers: tf.Tensor


@dataclasses.dataclass(frozen=True)
class LocalTraining:
  """How clients train.

  Attributes:
    task: What; its model is the adapted one.
    optimizer: The local optimizer; its state begins anew each round.
    batches: How a client goes through its examples.
    devices: Which client trains which part.
    layouts: For each tier, how many units of each axis its clients hold.
    seed: The run's.
    client_dropout: Which clients vanish once they have received the model: they train like those without examples.
    client_weighting: What an update counts in the mean: `examples`, or `uniform` for 1 each.
  """

  task: task_lib.Task
  optimizer: local_optimizer.LocalOptimizer
  batches: local_batches.LocalBatches
  devices: devices_lib.Devices = devices_lib.ALIKE
  layouts: tuple[slices.Layout, ...] = (slices.WHOLE,)
  seed: int = 0
  client_dropout: client_dropout_lib.ClientDropout = client_dropout_lib.NONE
  client_weighting: str = 'examples'

  def __post_init__(self):
    arguments.check_one_of(CLIENT_WEIGHTINGS, client_weighting=self.client_weighting)

  def __call__(self, received: Received, examples: tf.data.Dataset) -> Result:
    """Does one client's round on its examples, unbatched."""
    read = self.batches.read(examples)
    client_key = local_batches.client_key(read)
    answers = tf.logical_not(self.client_dropout.vanishes(received.round_seed, client_key))
    read = tf.nest.map_structure(lambda tensor: tensor[: tf.where(answers, tf.shape(tensor)[0], 0)], read)
    tiers = [
      tf.function(functools.partial(self._of_tier, index), autograph=False, experimental_attributes={'_noinline': True})
      for index in range(len(self.layouts))
    ]
    if len(tiers) == 1:
      return tiers[0](received, read, client_key, answers)
    branches = [lambda tier=tier: tier(received, read, client_key, answers) for tier in tiers]
    return tf.switch_case(self.devices.tier_in_round(received.round_seed, client_key), branches)

  def trained_weights(self, received: Received, examples: tf.data.Dataset) -> tuple[tf.Tensor, ...]:
    """Does the local steps of a client of the first tier; returns the weights it then holds, instead of its update."""
    read = self.batches.read(examples)
    return self._train(0, received, read, local_batches.client_key(read)).weights

  def _of_tier(
    self, tier: int, received: Received, examples: task_lib.Batch, client_key: tf.Tensor, answers: tf.Tensor
  ) -> Result:
    return self._result(tier, self._train(tier, received, examples, client_key), answers)

  def _train(self, tier: int, received: Received, examples: task_lib.Batch, client_key: tf.Tensor) -> '_AfterSteps':
    model, layout = self.task.model, self.layouts[tier]
    units = {axis: received.units[axis][:count] for axis, count in layout.counts.items()}
    held = held_part.HeldPart(model, layout, units, received.units.get(blocks_lib.AXIS))
    seeds = {
      purpose: randomness.client_seed(received.round_seed, client_key, purpose) for purpose in randomness.Purpose
    }
    round_seed = randomness.round_seed(received.round_seed, randomness.Purpose.TRAINABLE)
    flags = self.devices.tiers[tier].choose(
      model, trainable.Seeds(self.seed, round_seed, seeds[randomness.Purpose.TRAINABLE])
    )
    weights = held.take(received.weights)
    own_examples = examples
    if 'vocabulary' in held.units:
      own_examples = self.task.reindex(examples, held.positions('vocabulary'))
    batches = self.batches.of(own_examples, seeds[randomness.Purpose.SHUFFLING])
    task = dataclasses.replace(self.task, model=held.model)
    dropout_seed, encoding_seed = seeds[randomness.Purpose.DROPOUT], seeds[randomness.Purpose.ENCODING]
    own_flags = held.take_flags(flags)
    depth_dropout = self.devices.tiers[tier].depth_dropout
    task_of_step = depth_dropout.at_client(task, own_flags, received.round_seed, client_key)
    steps = local_steps.LocalSteps(task_of_step, self.optimizer, own_flags, dropout_seed, task.target_momentum)
    start = _own_start(held.model, weights, own_flags, received.round_number, seeds[randomness.Purpose.INITIAL_WEIGHTS])
    trained_weights, measures, num_examples = steps(batches, start, received.round_number, received.slots)
    gradient = ()
    if self.optimizer.is_shared:
      gradient = full_gradient.full_gradient(
        task_of_step, self.batches.in_order(examples), weights, flags, dropout_seed
      )
    return _AfterSteps(held, flags, weights, trained_weights, gradient, measures, num_examples, encoding_seed)

  def _result(self, tier: int, done: '_AfterSteps', answers: tf.Tensor) -> Result:
    held, measures, num_examples = done.held, done.measures, done.num_examples
    delta = held.put(tf.nest.map_structure(tf.subtract, done.received_weights, done.weights))
    flags = held.put_flags(done.flags)
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(x)) for x in [*delta, *done.gradient, *measures.values()]])
    sent = tf.logical_and(finite, num_examples > 0)
    trained = tf.logical_and(tf.stack([tf.convert_to_tensor(flag, tf.bool) for flag in flags]), sent)
    counts = collections.OrderedDict(
      num_clients=tf.constant(1, tf.int64),
      num_examples=num_examples,
      dropped_updates=tf.cast(tf.logical_not(finite), tf.int64),
      trained_parameters=tf.reduce_sum(tf.where(trained, tf.constant(held.sizes, tf.int64), 0)),
    )
    measures = collections.OrderedDict((name, tf.where(finite, value, 0.0)) for name, value in measures.items())
    return Result(
      delta=delta,
      gradient=done.gradient,
      trained=trained,
      layout=tf.constant(tier),
      units=collections.OrderedDict(
        (axis, tf.pad(held.units[axis], [[0, size - held.layout.counts[axis]]]))
        for axis, size in slices.largest_counts(self.layouts).items()
      ),
      client_seed=done.encoding_seed,
      weight=tf.where(sent, 1.0 if self.client_weighting == 'uniform' else tf.cast(num_examples, tf.float32), 0.0),
      measures=collections.OrderedDict(**counts, **measures),
      answers=answers,
    )


def _own_start(
  model: model_lib.Model,
  weights: tuple[tf.Tensor, ...],
  flags: Sequence[local_optimizer.TrainedFlag],
  round_number: tf.Tensor,
  seed: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
  """Returns the received weights, but in the first round, of those that `model.drawn_by_clients` names, what is trained
  drawn from the seed: what a client does not send it takes as it was received."""
  start = list(weights)
  for index, variable in enumerate(model.variables):
    if variable.name in model.drawn_by_clients:
      own_seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(index, tf.int64))
      drawn = variable.initializer(variable.shape, own_seed)
      draws = tf.logical_and(tf.equal(round_number, 1), flags[index])
      start[index] = tf.where(draws, drawn, weights[index])
  return tuple(start)


class _AfterSteps(NamedTuple):
  """A client after its local steps."""

  held: held_part.HeldPart
  flags: Sequence[local_optimizer.TrainedFlag]
  received_weights: tuple[tf.Tensor, ...]
  weights: tuple[tf.Tensor, ...]
  gradient: tuple[tf.Tensor, ...]
  measures: task_lib.Measures
  num_examples: tf.Tensor
  encoding_seed: tf.Tensor
