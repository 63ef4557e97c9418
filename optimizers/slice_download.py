"""The download of slices: which keys a client asks for, and what it makes of what comes back."""

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from optimizers import federated_types
from optimizers import local_batches
from optimizers import local_training
from optimizers import randomness
from optimizers import selection as selection_lib
from optimizers import slice_source


class SliceDownload:
  """One `tff.federated_select` for each axis of which clients hold a part.

  A client of a tier that holds fewer units than another asks for fewer keys: the surplus that static shapes demand is
  left in the sequence, neither read nor counted.
  """

  def __init__(
    self,
    local: local_training.LocalTraining,
    selection: selection_lib.Selection | None,
    sources: Mapping[str, slice_source.SliceSource],
    distributor: tff.learning.templates.DistributionProcess,
  ):
    """Builds the computations.

    Args:
      local: How clients train.
      selection: What clients choose themselves; None if all units follow from the tier and the round.
      sources: Made by `slice_source.build`.
      distributor: Sends what is not sliced; see `compression.broadcast`.
    """
    weights_type = distributor.next.type_signature.parameter[1].member
    distributed_type = distributor.next.type_signature.result.result.member
    self._local, self._selection, self._sources = local, selection, sources
    self._extracts = {axis: _build_extract(source, weights_type) for axis, source in sources.items()}
    self._selects = {
      axis: _build_select(source, self._extracts[axis].type_signature.result) for axis, source in sources.items()
    }
    self._choose = self._build_choose(distributed_type)
    self._assemble = self._build_assemble(distributed_type)
    self.received_type = self._assemble.type_signature.result['received']

  def send(self, weights: Any, distributed: Any, examples: Any) -> tuple[Any, Any]:
    """Sends slices, inside a federated computation.

    Args:
      weights: At the server.
      distributed: At clients.
      examples: At clients.

    Returns:
      What clients received, at clients: that of the broadcast with the slices in their places and `units`, their
      indices for each axis; and the bytes of all slices, int64 at the server.
    """
    keys = tff.federated_map(self._choose, (distributed, examples))
    found = collections.OrderedDict(
      (
        axis,
        tff.federated_select(
          keys['keys'][axis],
          tff.federated_value(np.int32(source.num_keys), tff.SERVER),
          tff.federated_map(self._extracts[axis], weights),
          self._selects[axis],
        ),
      )
      for axis, source in self._sources.items()
    )
    assembled = tff.federated_map(self._assemble, (distributed, keys, tff.federated_zip(found)))
    return assembled['received'], tff.federated_sum(assembled['num_bytes'])

  def _build_choose(self, distributed_type: tff.StructType) -> tff.Computation:
    """Builds the client's choice: for each axis its keys, padded by surplus ones, and how many of them count."""
    local, task = self._local, self._local.task

    @tff.tensorflow.computation(distributed_type, federated_types.examples(task))
    def choose(distributed, examples):
      client_key = local_batches.read_client_key(examples)
      seed = randomness.client_seed(distributed['round_seed'], client_key, randomness.Purpose.SELECTION)
      tier = local.devices.tier_in_round(distributed['round_seed'], client_key)
      is_rolling = tf.gather([policy.rolling for policy in local.devices.tiers], tier)
      first = tf.where(is_rolling, tf.cast(distributed['round_number'] % 2**30, tf.int32), 0)
      chosen = self._selection.keys(task, examples.take(local.batches.max_examples), seed) if self._selection else {}
      keys, counts = collections.OrderedDict(), collections.OrderedDict()
      for axis, source in self._sources.items():
        keys[axis] = chosen[axis] if axis in chosen else (first + tf.range(max(source.counts))) % source.num_keys
        counts[axis] = tf.gather(source.counts, tier)
      return collections.OrderedDict(keys=keys, counts=counts)

    return choose

  def _build_assemble(self, distributed_type: tff.StructType) -> tff.Computation:
    """Builds the client's computation from what came to what it received, and its bytes."""
    found_type = collections.OrderedDict(
      (axis, tff.SequenceType(select.type_signature.result)) for axis, select in self._selects.items()
    )

    @tff.tensorflow.computation(distributed_type, self._choose.type_signature.result, found_type)
    def assemble(distributed, keys, found):
      weights = list(distributed['weights'].trainable)
      units, num_bytes = collections.OrderedDict(), tf.constant(0, tf.int64)
      for axis, source in self._sources.items():
        units[axis] = source.indices(keys['keys'][axis])
        count = keys['counts'][axis]
        # The graph must not know how many there are, or all would be counted.
        slices = found[axis].take(tf.cast(count, tf.int64)).batch(source.num_keys).get_single_element()
        num_bytes += codec_lib.num_bytes(slices)
        for index, weight in source.place(slices, keys['keys'][axis][:count]).items():
          weights[index] = weight
      received = collections.OrderedDict(distributed, units=units)
      received['weights'] = tff.learning.models.ModelWeights(tuple(weights), distributed['weights'].non_trainable)
      return collections.OrderedDict(received=received, num_bytes=num_bytes)

    return assemble


def _build_extract(source: slice_source.SliceSource, weights_type: tff.StructType) -> tff.Computation:
  @tff.tensorflow.computation(weights_type)
  def extract(weights):
    return source.extract(weights.trainable)

  return extract


def _build_select(source: slice_source.SliceSource, extracted_type: tff.Type) -> tff.Computation:
  @tff.tensorflow.computation(extracted_type, np.int32)
  def select(tensors, key):
    return source.select(tensors, key)

  return select
