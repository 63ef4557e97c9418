"""The weighted sum of clients' payloads, some of variables that a client holds only a part of.

Where every layout holds the whole, what is added are the terms of `UpdateCodec`, which are decoded the rest of the way
after the sum. Where some layout slices, each client's payload is decoded in full and added in its place.
"""

import collections
from collections.abc import Mapping
import functools
from typing import Any

import tensorflow as tf

from compression import groups as groups_lib
from compression import presence
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib


class PartialSum:
  """Adds up what clients sent, for one codec."""

  def __init__(self, sub_models: sub_models_lib.SubModels, codec: update_codec_lib.UpdateCodec):
    """Takes the sub-models that clients may have, and the codec, which has the whole variables' sizes."""
    self._sub_models = sub_models
    self._codec = codec
    self._groups = codec.groups(sub_models.specs)
    self._apart = [index for group in self._groups if not self._is_whole(group) for index in group.members]

  def zero(self) -> collections.OrderedDict[str, Any]:
    """Returns the sum over no clients: terms of whole variables, and full-shaped sums of the others."""
    return collections.OrderedDict(
      terms=tuple(tf.zeros([group.term_size]) for group in self._groups if self._is_whole(group)),
      sums=tuple(tf.zeros(self._sub_models.specs[index].shape) for index in self._apart),
    )

  def add(
    self,
    added: Mapping[str, Any],
    sent: update_codec_lib.Sent,
    claim: sub_models_lib.Claim,
    weight: tf.Tensor,
    shared_seed: tf.Tensor,
  ) -> tuple[collections.OrderedDict[str, Any], collections.OrderedDict[str, tf.Tensor]]:
    """Adds `weight` times a client's update.

    Args:
      added: The sum so far.
      sent: The client's update.
      claim: Which units it is of.
      weight: float32 [].
      shared_seed: int64[2].

    Returns:
      The sum with the client, and the units it held, as of `SubModels.held`.
    """
    present, decoder = presence.unpack(sent.bitmap, len(self._sub_models.specs)), groups_lib.GroupDecoder(shared_seed)
    whole = [
      (group, payload) for group, payload in zip(self._groups, sent.payloads, strict=True) if self._is_whole(group)
    ]
    terms = tuple(
      decoder.add_if_present(group, payload, present, weight, term)
      for (group, payload), term in zip(whole, added['terms'], strict=True)
    )
    if not self._apart:
      return collections.OrderedDict(terms=terms, sums=()), collections.OrderedDict()
    sums, held = self._sub_models.switch(
      self._sub_models.layout_of(claim),
      functools.partial(self._add_slices, added['sums'], sent, claim, present, weight, shared_seed),
    )
    return collections.OrderedDict(terms=terms, sums=sums), held

  def _add_slices(self, sums, sent, claim, present, weight, shared_seed, layout: slices.Layout):
    """Adds the slices of a client of one layout; returns the sums and what it held."""
    sums = dict(zip(self._apart, sums, strict=True))
    indices, decoder = self._sub_models.claimed(layout, claim), groups_lib.GroupDecoder(shared_seed)
    specs = self._sub_models.specs_in(layout)
    for group, payload in zip(self._codec.groups(specs), sent.payloads, strict=True):
      if self._is_whole(group):
        continue

      def add_group(group=group, payload=payload):
        decoded = decoder.split(group, weight * decoder.decode(group, payload), specs)
        return tuple(put(index, decoded[index]) for index in group.members)

      def put(index, part):
        # Of a group that travels, some variables may not: their indices may be missing, and their values are noise.
        return tf.cond(
          present[index],
          lambda: sums[index] + layout.put(self._sub_models.variables[index], part, indices),
          lambda: sums[index],
        )

      added = tf.cond(
        groups_lib.any_present(group, present),
        add_group,
        lambda group=group: tuple(sums[i] for i in group.members),
      )
      sums.update(zip(group.members, added, strict=True))
    return tuple(sums[index] for index in self._apart), self._sub_models.held(layout, indices)

  def finish(self, added: Mapping[str, Any], shared_seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Decodes what is left of the sum of terms; returns the weighted sum of every variable."""
    decoder = groups_lib.GroupDecoder(shared_seed)
    tensors = dict(zip(self._apart, added['sums'], strict=True))
    whole = [group for group in self._groups if self._is_whole(group)]
    for group, term in zip(whole, added['terms'], strict=True):
      tensors.update(decoder.finish(group, term, self._sub_models.specs))
    specs = self._sub_models.specs
    return tuple(tensors[index] if index in tensors else tf.zeros(spec.shape) for index, spec in enumerate(specs))

  def _is_whole(self, group: groups_lib.VariableGroup) -> bool:
    """Tells whether every client holds all of every variable of a group."""
    return not set(group.members).intersection(self._sub_models.sliced)
