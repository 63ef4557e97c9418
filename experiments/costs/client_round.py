"""One client's local round for a policy: what it holds, what it trains, and the bytes that it sends and receives.

A client of a sub-model is measured with its slices alone, as a device would hold them; a simulated client of
`optimizers.local_training` has the whole model around them.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from compression import codec as codec_lib
from compression import delivery
from compression import update_codec
from experiments.command import algorithm_specs
from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import given_objects
from experiments.command import spec
from experiments.command import takers
from experiments.costs import measured_case
from models import accounting
from models import catalog as models_catalog
from models import chunked_encoder
from models import image_task
from models import language_task
from models import model as model_lib
from models import self_supervised_task
from models import task as task_lib
from optimizers import client_costs
from optimizers import depth_dropout
from optimizers import devices as devices_lib
from optimizers import local_batches
from optimizers import local_optimizer
from optimizers import local_training
from optimizers import trainable

_SEED = 0
_NUM_DRAWN_CLIENTS = 32  # Among which draws are averaged.


class Traffic(NamedTuple):
  """What travels for one client in one round; means over clients, where they draw.

  Attributes:
    trained: For each variable: whether it is trained, or how many of the clients drew it, as a fraction.
    trained_fraction: Trained parameters over the parameters of the model that `--model` names.
    upload_bytes: Payload of the update, bitmap and weight, as the column `upload_bytes` of a run counts them.
    download_bytes: Bytes of the weights that the client receives in its first round, uncompressed.
    download_bytes_frozen: The part of them that it receives in no later round.
  """

  trained: tuple[bool | float, ...]
  trained_fraction: float
  upload_bytes: float
  download_bytes: int
  download_bytes_frozen: int


class Counted(NamedTuple):
  """What is known of a client's round without measuring it.

  Attributes:
    traffic: What travels.
    step: What a local step costs, modelled.
    optimizer_bytes: The size of the local optimizer's state.
  """

  traffic: Traffic
  step: accounting.StepCost
  optimizer_bytes: int


class _Subject(NamedTuple):
  """A model, its task given the shapes that a client holds, and examples drawn by a generator."""

  model: model_lib.Model
  build_task: Callable[[model_lib.Model], task_lib.Task]
  draw: Callable[[np.random.Generator, int], dict[str, np.ndarray]]


def _text(case: measured_case.Case) -> _Subject:
  def draw(generator: np.random.Generator, num_examples: int) -> dict[str, np.ndarray]:
    shape = [num_examples, case.sequence_length + 1]
    return dict(tokens=generator.integers(1, case.vocabulary_size, shape, np.int32))

  model = takers.build_model(case.model, models_catalog.LANGUAGE_MODELS)(case.vocabulary_size)
  return _Subject(model, lambda held: language_task.build(held, case.sequence_length), draw)


def _images(case: measured_case.Case) -> _Subject:
  image_shape = (case.image_size, case.image_size, 3)

  def draw(generator: np.random.Generator, num_examples: int) -> dict[str, np.ndarray]:
    image = generator.integers(0, 256, [num_examples, *image_shape], np.int32)
    return dict(image=image, label=generator.integers(0, case.num_classes, [num_examples], np.int32))

  encoder = takers.build_model(case.model, models_catalog.VISION_MODELS)
  objective = case.objective and spec.build(
    case.objective, models_catalog.OBJECTIVES, 'objective', kind=self_supervised_task.Objective
  )
  try:
    if objective is None:
      task = image_task.build(encoder.classifier(image_shape, case.num_classes), image_shape)
    else:
      chunked = chunked_encoder.by_chunks(encoder, case.chunk_size)
      task = self_supervised_task.build(objective, chunked, image_shape)
  except ValueError as error:
    raise spec.SpecError(f'model {case.model!r}: {error}') from error
  return _Subject(task.model, lambda held: dataclasses.replace(task, model=held), draw)


@dataclasses.dataclass(frozen=True)
class _ChosenFor(trainable.Policy):
  """Trains what another policy chooses for another model of the same variables, in whatever shape they are here.

  Attributes:
    model: The other one.
    policy: Chooses for it.
  """

  model: model_lib.Model
  policy: trainable.Policy

  @property
  def depth_dropout(self) -> depth_dropout.DepthDropout:
    """See `trainable.Policy`."""
    return self.policy.depth_dropout

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> Sequence[local_optimizer.TrainedFlag]:
    """Returns what the policy chooses for the other model."""
    del model
    return self.policy.choose(self.model, seeds)


class ClientRound:
  """A client's round.

  Attributes:
    task: Its variables have the shapes that the client holds.
    local: Trains it.
  """

  def __init__(self, case: measured_case.Case):
    """Builds what a case names; raises `SpecError` for what cannot be built."""
    self._case = case
    subject = _images(case) if takers.is_of_images(case.model) else _text(case)
    plain, self._draw = subject.model, subject.draw
    clients = measured_case.devices(case.policy)
    model = device_specs.adapt(clients, plain, _SEED, case.policy)
    (policy,) = clients.tiers
    self.task = subject.build_task(client_costs.held_model(model, clients.layouts(model)[0]))
    self.local = local_training.LocalTraining(
      self.task,
      _client_optimizer(case.algorithm),
      local_batches.LocalBatches(case.batch_size, max_examples=case.batch_size * case.num_steps),
      devices_lib.Devices((_ChosenFor(model, policy),)),
      seed=_SEED,
    )
    self._deliveries = clients.deliveries(model, _SEED)
    self._num_parameters = plain.num_parameters
    self._codec = dataclasses.replace(
      _fixed_codec(case.upload),
      sizes=tuple(variable.size for variable in model.variables),
      together=clients.together(model, _SEED),
    )

  def build_train(self) -> Callable[[local_training.Received, tf.data.Dataset], local_training.Result]:
    """Returns the round, up to the update, as a function that is traced once."""
    return tf.function(self.local.__call__, autograph=False)

  def build_local_steps(self) -> Callable[[local_training.Received, tf.data.Dataset], tuple[tf.Tensor, ...]]:
    """Returns the local steps as a function that is traced once; it returns the weights that the client then holds.

    The update is the difference of two weights: a device takes it from one variable after the other as it encodes.
    """
    return tf.function(self.local.trained_weights, autograph=False)

  def received(self, client: int, weights: model_lib.Weights) -> local_training.Received:
    """Returns what reaches a client, each in a round of its own."""
    return local_training.Received(weights, tf.constant([_SEED, client], tf.int64), tf.constant(1, tf.int64), {})

  def examples(self, client: int, num_examples: int) -> tf.data.Dataset:
    """Returns a client's examples: random tokens, none of them padding, or images of random pixels."""
    features = self._draw(np.random.default_rng(client), num_examples)
    return tf.data.Dataset.from_tensor_slices(features | dict(client_key=np.full([num_examples], client, np.int64)))

  def counted(self) -> Counted:
    """Counts what travels and what a step costs; raises `SpecError` as `step_cost`."""
    traffic = self.traffic()
    return Counted(traffic, self.step_cost(traffic), self.optimizer_bytes())

  def traffic(self) -> Traffic:
    """Lets clients train for one step and encode their updates; as many of them as a policy's draws need."""
    known, train = self._flags_known_when_traced(), self.build_train()
    encode = tf.function(self._encoded_bytes, autograph=False)
    weights = self.task.model.initial_weights(_SEED)
    flags, fractions, upload_bytes = [], [], []
    for client in range(1 if None not in known else _NUM_DRAWN_CLIENTS):
      received = self.received(client, weights)
      result = train(received, self.examples(client, self._case.batch_size))
      flags.append(result.trained.numpy())
      fractions.append(int(result.measures['trained_parameters']) / self._num_parameters)
      upload_bytes.append(int(encode(result, received.round_seed)))
    sent, held = (
      [weight for each, weight in zip(self._deliveries, weights, strict=True) if each.way is way]
      for way in (delivery.Way.SENT, delivery.Way.HELD)
    )
    return Traffic(
      trained=tuple(
        float(drawn) if flag is None else flag for flag, drawn in zip(known, np.mean(flags, axis=0), strict=True)
      ),
      trained_fraction=float(np.mean(fractions)),
      upload_bytes=float(np.mean(upload_bytes)),
      download_bytes=int(codec_lib.num_bytes(sent + held)),
      download_bytes_frozen=int(codec_lib.num_bytes(held)),
    )

  def step_cost(self, traffic: Traffic) -> accounting.StepCost:
    """Accounts for a local step, given what clients train; on average, where blocks are dropped.

    The encoder is taken to see a whole batch at once. Raises `SpecError` for a model whose products have shapes that its
    graph does not know.
    """
    try:
      return self._step_cost(traffic)
    except ValueError as error:
      raise spec.SpecError(
        f'the operations of {given_objects.shown(given_objects.recorded(self._case.model))!r} cannot be counted ({error}): name a model in layers of the suite'
      ) from error

  def _step_cost(self, traffic: Traffic) -> accounting.StepCost:
    dropout, batch_size = self.local.devices.tiers[0].depth_dropout, self._case.batch_size
    whole = dataclasses.replace(self._case, chunk_size=0)
    task = ClientRound(whole).task if self._case.chunk_size else self.task
    cost = accounting.step_cost(task, traffic.trained, batch_size)
    dropped = depth_dropout.frozen_blocks(task, self._flags_known_when_traced()) if dropout.rate else []
    if not dropped:
      return cost
    without = accounting.step_cost(
      depth_dropout.partly(task, dropped, [False] * len(dropped)), traffic.trained, batch_size
    )
    return dataclasses.replace(
      cost, forward_flops=(1.0 - dropout.rate) * cost.forward_flops + dropout.rate * without.forward_flops
    )

  def optimizer_bytes(self) -> int:
    """Returns the size of the local optimizer's state: of all variables that may be trained."""
    return client_costs.optimizer_bytes(self.local.optimizer, self.task.model, self._flags_known_when_traced())

  def _flags_known_when_traced(self) -> list[bool | None]:
    return self.local.devices.tiers[0].flags_known_when_traced(self.task.model, _SEED)

  def _encoded_bytes(self, result: local_training.Result, round_seed: tf.Tensor) -> tf.Tensor:
    sent = self._codec.encode(list(result.delta), result.trained, result.client_seed, round_seed)
    return tf.add_n([*update_codec.num_bytes(sent), codec_lib.num_bytes(result.weight)])


def _fixed_codec(text: Any) -> update_codec.UpdateCodec:
  codec = codec_specs.build(text, 'upload')
  if not isinstance(codec, update_codec.UpdateCodec):
    raise spec.SpecError(f'upload {text!r} follows the votes of clients over rounds; here there is one: choose another')
  return codec


def _client_optimizer(algorithm: Any) -> local_optimizer.LocalOptimizer:
  optimizer = algorithm_specs.build(algorithm).client_optimizer
  if optimizer.is_shared:
    raise spec.SpecError(f"algorithm {algorithm!r}: a client's optimizer state comes from the server, choose another")
  return optimizer
