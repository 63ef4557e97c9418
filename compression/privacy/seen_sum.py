"""The sum of bounded updates by a server that sees each of them, and bounds it again once it is decoded."""

import collections
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from compression import client_sum
from compression import sent_update
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from compression.privacy import clipping


class SeenSum(client_sum.ClientSum):
  """Decodes each client's update in full."""

  def __init__(self, parts: sent_update.Parts, measure_distortion: bool):
    """Takes the parts, and whether clients decode what they encoded."""
    self._parts, self._measure_distortion = parts, measure_distortion

  def given(self, round_number: tf.Tensor, bound: tf.Tensor) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns the bound."""
    del round_number
    return collections.OrderedDict(bound=bound)

  def norm(self, update: Any) -> tf.Tensor:
    """Returns the norm of what the codec keeps: top-k first, then the bound, as FLASC has it (arXiv 2406.05233)."""
    return sent_update.kept_norm(self._parts, update)

  def send(
    self, update: Any, weight: tf.Tensor, flags: tf.Tensor, given: Mapping[str, tf.Tensor]
  ) -> collections.OrderedDict[str, Any]:
    """Returns the encoded update; the first flag alone travels, from which the others follow."""
    vote = tf.cast(flags[:1], tf.uint8)
    return sent_update.encode(self._parts, update, weight, given['bound'], lambda _: vote, self._measure_distortion)

  def nothing(self) -> tuple[collections.OrderedDict[str, Any], dict[str, tf.Tensor]]:
    """Returns zeros."""
    added = collections.OrderedDict(
      updates=tuple(tf.zeros(spec.shape) for spec in self._parts.sub_models.specs), squares=tf.zeros([2])
    )
    return added, dict(seed=tf.zeros([2], tf.int64), parameter=tf.constant(0.0))

  def add(self, added: Mapping[str, Any], sent: Mapping[str, Any]) -> collections.OrderedDict[str, Any]:
    """Adds what a client's update is decoded to, within the bound."""
    shared, alone = sent['uncounted']['shared'], self._parts.sum(tf.constant(1.0))
    update = update_codec_lib.Sent(sent_update.payloads(sent), sent['bitmap'])
    claim = sub_models_lib.Claim(sent['layout'], sent['keys'], sent['uncounted']['units'])
    terms, _ = alone.add(alone.zero(), update, claim, tf.constant(1.0), shared['seed'])
    bounded, _ = clipping.clip(alone.finish(terms, shared['seed']), shared['parameter'])
    return collections.OrderedDict(
      updates=tuple(map(tf.add, added['updates'], bounded)), squares=added['squares'] + sent['uncounted']['squares']
    )

  def finish(self, added: Mapping[str, Any], shared: Mapping[str, tf.Tensor]) -> client_sum.Summed:
    """Returns the sum as it is."""
    del shared
    nothing = tuple(tf.zeros_like(each) for each in added['updates'])
    return client_sum.Summed(added['updates'], nothing, tf.zeros([0], tf.int64), tf.constant(True))

  def measurements(
    self, counted: Mapping[str, tf.Tensor], added: Mapping[str, Any]
  ) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns the distortion besides, if clients measure it."""
    measured = collections.OrderedDict(counted)
    if self._measure_distortion:
      measured['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    return measured
