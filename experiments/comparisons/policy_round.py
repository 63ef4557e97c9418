"""One local round of a client by a policy, from the model that a run left: what it trains, sends, receives and gains.

The update is encoded by the run's upload codec, decoded again and subtracted from the model, as it is and at other lengths;
held-out clients judge the model before and after. A client that holds a sub-model fits those units alone, and one that draws variables from the seed has
not those of the run: what such updates do to the whole model says nothing of their policy, and is not measured.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from compression import codec as codec_lib
from compression import delivery
from compression import slices as slices_lib
from compression import update_codec
from data import population
from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import spec
from experiments.comparisons import policy_updates
from experiments.comparisons import trained_run
from models import language_task
from models import model as model_lib
from models import task as task_lib
from optimizers import devices as devices_lib
from optimizers import held_part
from optimizers import local_loop
from optimizers import local_training

_MAX_JUDGED = 2000  # Held-out examples; an evaluation for each policy and client has no time for more.
_BATCH_SIZE = 64


class PolicyMisfitError(ValueError):
  """Why a policy does not fit the model of a run: one line."""


class PolicyRound:
  """The rounds of clients that train the model of a run by one policy."""

  def __init__(self, run: trained_run.TrainedRun, policy: Any):
    """Fits the policy to the model; raises `PolicyMisfitError` if that cannot be."""
    seed, devices, base = run.settings['seed'], device_specs.build(policy), run.base
    try:
      model = device_specs.adapt(devices, base, seed, policy)
    except spec.SpecError as error:
      raise PolicyMisfitError(str(error).removeprefix(f'{policy!r}: ')) from error
    weights, initial = _weights(run, model), model.initial_weights(seed)
    (self._layout,) = devices.layouts(model)
    units = {axis: tf.range(count) for axis, count in self._layout.counts.items()}
    self._run, self._model = run, model
    self._held = held_part.HeldPart(model, self._layout, units, None)
    self._note = _unsound(model, weights, initial, devices.rebuilt(model, seed), self._layout)
    self._deliveries = devices_lib.with_base(devices.deliveries(model, seed), run.settings['base'])
    self._codec = _upload_codec(run.settings['upload'], model, devices.together(model, seed))
    self._task = language_task.build(model, run.text.sequence_length)
    self._local = local_training.LocalTraining(
      dataclasses.replace(self._task, precision=run.settings.get('precision', 'float32')),
      run.optimizer,
      run.batches,
      devices,
      (self._layout,),
      seed,
    )
    self._received = local_training.Received(
      weights=tuple(tf.constant(weight) for weight in weights),
      round_seed=tf.constant([seed, 0], tf.int64),
      round_number=tf.constant(max(run.settings['rounds'], 1), tf.int64),
      units=units,
    )
    self._train = tf.function(self._train_and_send, autograph=False)

  def updates(self, client_ids: Sequence[str], judged: np.ndarray) -> list[policy_updates.PolicyUpdate]:
    """Lets clients train, each from the model of the run.

    Args:
      client_ids: Training clients.
      judged: int32 [n, sequence_length + 1]: the examples that judge.

    Returns:
      An update of each client, in order.
    """
    loss = self._build_loss(judged)
    nothing = tuple(tf.zeros_like(weight) for weight in self._received.weights)
    before, download_bytes = loss(nothing, 1.0), self._download_bytes()
    found = []
    for client_id in client_ids:
      decoded, upload_bytes, measures, is_sent = self._train(self._received, self._run.examples(client_id))
      note = self._note or ('' if is_sent else 'its update is not finite')
      trained = int(measures['trained_parameters'])
      found.append(
        policy_updates.PolicyUpdate(
          client_id=client_id,
          num_examples=int(measures['num_examples']),
          trained_parameters=trained,
          trained_fraction=trained / self._model.num_parameters,
          upload_bytes=int(upload_bytes),
          download_bytes=download_bytes,
          loss_before=before,
          losses=[] if note else [loss(decoded, length) for length in policy_updates.LENGTHS],
          note=note,
        )
      )
    return found

  def _train_and_send(
    self, received: local_training.Received, examples: tf.data.Dataset
  ) -> tuple[tuple[tf.Tensor, ...], tf.Tensor, task_lib.Measures, tf.Tensor]:
    """Returns the update as the server decodes it, the bytes that it took, the measures, and whether it was sent."""
    done, codec = self._local(received, examples), self._codec
    update = self._held.take(done.delta)
    sent = codec.encode(list(update), done.trained, done.client_seed, received.round_seed)
    specs = [tf.TensorSpec.from_tensor(tensor) for tensor in update]
    decoded = self._held.put(codec.decode(sent, specs, received.round_seed))
    num_bytes = tf.add_n([*update_codec.num_bytes(sent), codec_lib.num_bytes(done.weight)])
    return decoded, num_bytes, done.measures, done.weight > 0

  def _build_loss(self, judged: np.ndarray) -> Callable[[Sequence[tf.Tensor], float], float]:
    """Returns what tells the loss of the received model less so many times an update."""
    batches = tf.data.Dataset.from_tensor_slices(judged).batch(_BATCH_SIZE)
    task, received = self._task, self._received.weights

    @tf.function(autograph=False)
    def measured(update: Sequence[tf.Tensor], length: tf.Tensor) -> task_lib.Measures:
      weights = tf.nest.map_structure(lambda weight, delta: weight - length * delta, received, update)

      def add(total: task_lib.Measures, tokens: tf.Tensor) -> task_lib.Measures:
        return tf.nest.map_structure(tf.add, total, task.evaluate(weights, {'tokens': tokens}))

      return local_loop.fold(add, task_lib.zero_measures(), batches)

    def loss(update: Sequence[tf.Tensor], length: float) -> float:
      sums = measured(tuple(update), tf.constant(length))
      return float(sums['loss_sum']) / float(sums['weight_sum'])

    return loss

  def _download_bytes(self) -> int:
    """Returns what reaches a client in its first round."""
    return sum(map(self._payload_bytes, (delivery.Way.SENT, delivery.Way.HELD)))

  def _payload_bytes(self, way: delivery.Way) -> int:
    """Returns what reaches a client in one way: whole variables encoded, slices of the others as they are."""
    sent = [
      (variable, weight)
      for variable, weight, each in zip(self._model.variables, self._received.weights, self._deliveries, strict=True)
      if each.way is way
    ]
    slices = [self._layout.spec(variable) for variable, _ in sent if self._layout.slices(variable)]
    whole = [weight for variable, weight in sent if not self._layout.slices(variable)]
    seed = self._received.round_seed
    codec = codec_specs.build_download(self._run.settings['download'])
    encode = tf.function(
      lambda tensors: codec_lib.num_bytes(codec.encode(tensors, tf.fill([len(tensors)], True), seed, seed).payloads),
      autograph=False,
    )
    return (int(encode(whole)) if whole else 0) + sum(each.dtype.size * each.shape.num_elements() for each in slices)


def judged_examples(run: trained_run.TrainedRun) -> np.ndarray:
  """Returns the first examples, at most 2,000, of the clients that judge a run: int32 [n, sequence_length + 1]."""
  split = run.settings.get('eval_split', 'heldout')
  found, missing = [], _MAX_JUDGED
  for client_id in population.Population.of(run.text, split).evaluation_ids(run.settings['eval_clients']):
    found.append(run.text.tokens(split, [client_id])[:missing])
    missing -= len(found[-1])
    if not missing:
      break
  return np.concatenate(found)


def _weights(run: trained_run.TrainedRun, model: model_lib.Model) -> list[np.ndarray]:
  """Returns those of the run, and what the policy adds to them as it begins; raises `PolicyMisfitError` for other variables."""
  names = [variable.name for variable in model.variables]
  if surplus := set(run.trained.weights) - set(names):
    raise PolicyMisfitError(f'the model of the run has variables that this policy has not, such as {min(surplus)}')
  initial = model.initial_weights(run.settings['seed'])
  return [run.trained.weights.get(name, value.numpy()) for name, value in zip(names, initial, strict=True)]


def _unsound(
  model: model_lib.Model,
  weights: Sequence[np.ndarray],
  initial: Sequence[tf.Tensor],
  rebuilt: frozenset[str],
  layout: slices_lib.Layout,
) -> str:
  """Returns why the gain of an update would mislead; nothing if it does not."""
  if layout.counts:
    return 'clients hold sub-models: what one of them gains there says little of the whole model'
  for variable, weight, value in zip(model.variables, weights, initial, strict=True):
    if variable.name in rebuilt and not np.array_equal(weight, value.numpy()):
      return f'clients draw {variable.name} from the seed, where the run has trained it'
  return ''


def _upload_codec(text: str, model: model_lib.Model, together: tuple[int, ...]) -> update_codec.UpdateCodec:
  codec = codec_specs.build(text)
  if not isinstance(codec, update_codec.UpdateCodec):
    codec = codec.at(tf.constant(codec.initial_parameter))
  return dataclasses.replace(codec, sizes=tuple(variable.size for variable in model.variables), together=together)
