"""The sum of clients' updates in a finite field: what each sends, how it is added up, and how the sum is decoded, once.

    sent = (round(encode(update)) + the client's noise) mod 2**field_bits;   sum = decode(sum of what is sent)

All stages of the codec are linear, so that the sum of what they leave can be decoded in place of each. Which variables
travel follows from the round, not from the client: one that trained less sends zeros in their place, like any other value
unseen. What a client counts besides, such as whether it trained a variable, is summed in the same way.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from compression import bitpack
from compression import client_sum
from compression import codec as codec_lib
from compression import counted_sum
from compression import groups as groups_lib
from compression import sent_update
from compression.privacy import clipping
from compression.secure_sums import modular
from compression.secure_sums import protocol
from compression.secure_sums import skellam

CouldSend = Callable[[tf.Tensor], Sequence[bool | tf.Tensor]]


class SecureSum(client_sum.ClientSum):
  """Adds up updates of one model."""

  def __init__(
    self,
    parts: sent_update.Parts,
    plan: modular.SumPlan,
    could_send: CouldSend | None,
    num_flags: int,
    bound: float | None = None,
    measure_distortion: bool = False,
  ):
    """Takes what is summed.

    Args:
      parts: Codec and variables.
      plan: Grid and field.
      could_send: From a round's number, whether any client could send each variable; all by default.
      num_flags: How many bits a client has counted besides.
      bound: The first one on the norm of what a client sends; None if it has none.
      measure_distortion: Whether a client decodes what it sends.

    Raises:
      ValueError: If the grid is too coarse for a bounded norm.
    """
    self._plan, self._could_send, self._num_flags = plan, could_send, num_flags
    self._is_bounded, self._measure_distortion = bound is not None, measure_distortion
    self._specs, self._codec = parts.sub_models.specs, parts.update_codec(tf.constant(1.0))
    self._groups = [group._replace(together=True) for group in self._codec.groups(self._specs)]
    self._sizes = [group.term_size for group in self._groups]
    if bound is not None:
      plan.grid.check_fine(self.num_values, 1.0 if plan.limit is None else plan.limit / bound)

  @property
  def num_values(self) -> int:
    """How many values a client sends at most."""
    return sum(self._sizes)

  def given(self, round_number: tf.Tensor, bound: tf.Tensor) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns what the server tells the clients of a round: the limit of the grid, and which variables travel, bool [n]."""
    flags = [True] * len(self._specs) if self._could_send is None else self._could_send(round_number)
    return collections.OrderedDict(
      bound=bound,
      limit=bound if self._plan.limit is None else tf.constant(self._plan.limit, tf.float32),
      travels=tf.stack([tf.convert_to_tensor(flag, tf.bool) for flag in flags]),
    )

  def norm(self, update: Any) -> tf.Tensor:
    """Returns the norm of the whole update: no linear stage leaves values out and the others as they are."""
    return clipping.global_norm(update['delta'])

  def send(
    self, update: Any, weight: tf.Tensor, flags: tf.Tensor, given: Mapping[str, tf.Tensor]
  ) -> collections.OrderedDict[str, Any]:
    """Returns the masked payloads; all clients count alike, so that no weight travels."""
    del weight
    answers, trained = update['answers'], tf.unstack(update['trained'], len(self._specs))
    tensors = [tf.where(is_trained, x, 0.0) for is_trained, x in zip(trained, update['delta'], strict=True)]
    levels, cut = self._levels(tensors, update, given)
    noise = skellam.draw(tf.shape(levels), self._plan.noise_variance, update['client_seed'], self._plan.noise_seed)
    payload = self._only_if(answers, self._pack(levels + noise, self._plan.field_bits))
    counts = self._only_if(answers, self._pack(tf.cast(flags, tf.int32), self._flag_bits))
    return collections.OrderedDict(
      payload=payload,
      counts=counts,
      uncounted=counted_sum.uncounted(
        shared=dict(seed=update['shared_seed'], limit=given['limit'], travels=given['travels']),
        num_bytes=dict(
          values=codec_lib.num_bytes(payload), side=codec_lib.num_bytes(counts), weights=tf.constant(0, tf.int64)
        ),
        noise=self._only_if(answers, noise) if self._plan.noise_variance else tf.zeros([0], tf.int32),
        cut=tf.where(answers, cut, 0),
        answers=tf.cast(answers, tf.int64),
        squares=self._squares(tensors, levels, update, given) if self._measure_distortion else tf.zeros([2]),
      ),
    )

  def nothing(self) -> tuple[collections.OrderedDict[str, Any], dict[str, tf.Tensor]]:
    """Returns the sum over no clients, and what stands for what they share; see `counted_sum.build_accumulation`."""
    added = collections.OrderedDict(
      levels=tf.zeros([self.num_values], tf.int64),
      noise=tf.zeros([self.num_values if self._plan.noise_variance else 0], tf.int64),
      counts=tf.zeros([self._num_flags], tf.int64),
      cut=tf.constant(0, tf.int64),
      invited=tf.constant(0, tf.int64),
      answered=tf.constant(0, tf.int64),
      squares=tf.zeros([2]),
    )
    travels = tf.fill([len(self._specs)], True)
    return added, dict(seed=tf.zeros([2], tf.int64), limit=tf.constant(1.0), travels=travels)

  def add(self, added: Mapping[str, Any], sent: Mapping[str, Any]) -> collections.OrderedDict[str, Any]:
    """Adds a client: modulo the field in effect, since `finish` takes the sum so."""
    uncounted = sent['uncounted']
    sizes = self._present_sizes(uncounted['shared']['travels']) * tf.cast(uncounted['answers'], tf.int32)
    levels = self._signed(bitpack.unpack(sent['payload'], self._plan.field_bits, tf.reduce_sum(sizes)))
    num_flags = self._num_flags * tf.cast(uncounted['answers'], tf.int32)
    counts = tf.cast(bitpack.unpack(sent['counts'], self._flag_bits, num_flags), tf.int64)
    noise = self._in_place(tf.cast(uncounted['noise'], tf.int64), sizes) if self._plan.noise_variance else 0
    return collections.OrderedDict(
      levels=added['levels'] + self._in_place(levels, sizes),
      noise=added['noise'] + noise,
      counts=added['counts'] + _padded(counts, self._num_flags),
      cut=added['cut'] + uncounted['cut'],
      invited=added['invited'] + 1,
      answered=added['answered'] + uncounted['answers'],
      squares=added['squares'] + uncounted['squares'],
    )

  def finish(self, added: Mapping[str, Any], shared: Mapping[str, tf.Tensor]) -> client_sum.Summed:
    """Decodes the sum."""
    noise = added['noise'] if self._plan.noise_variance else tf.zeros([self.num_values], tf.int64)
    return client_sum.Summed(
      tensors=self._decoded(self._in_field(added['levels']), shared['limit'], shared['seed']),
      noise=self._decoded(noise, shared['limit'], shared['seed']),
      counts=added['counts'],
      is_known=self._is_known(added),
    )

  def measurements(
    self, counted: Mapping[str, tf.Tensor], added: Mapping[str, Any]
  ) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns what the protocol costs, and what it loses, besides."""
    measured = collections.OrderedDict(counted)
    invited, answered = added['invited'], added['answered']
    keys = protocol.upload_bytes(invited, answered)
    of_one = protocol.upload_bytes_of_one(invited, tf.minimum(answered, 1))
    measured.update(
      upload_bytes=measured['upload_bytes'] + keys,
      upload_bytes_per_client_max=measured['upload_bytes_per_client_max'] + of_one,
      upload_bytes_keys=keys,
      download_bytes_keys=protocol.download_bytes(invited, answered),
      wrapped_values=_count(tf.not_equal(self._in_field(added['levels']), added['levels'])),
      cut_values=added['cut'],
      aborted_rounds=tf.cast(tf.logical_not(self._is_known(added)), tf.int64),
    )
    if self._measure_distortion:
      measured['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    return measured

  @property
  def _flag_bits(self) -> int:
    return self._plan.field_bits - self._plan.grid.bits + 2  # Counts up to the clients that the field has room for.

  def _levels(self, tensors: Sequence[tf.Tensor], update: Any, given: Mapping[str, tf.Tensor]):
    """Returns a client's levels, int32 of a length unknown to the graph, and how many of its values were cut."""
    sent = self._codec.encode(tensors, given['travels'], update['client_seed'], update['shared_seed'])
    values = tf.concat([payload.values for payload in sent.payloads], axis=0)
    grid, limit, seed = self._plan.grid, given['limit'], update['client_seed']
    if self._is_bounded:
      return grid.round_within(values, limit, given['bound'], seed), _count(tf.abs(values) > limit)
    return grid.round(values, limit, seed), _count(tf.abs(values) > limit)

  def _squares(self, tensors: Sequence[tf.Tensor], levels: tf.Tensor, update: Any, given: Mapping[str, tf.Tensor]):
    in_place = self._in_place(tf.cast(levels, tf.int64), self._present_sizes(given['travels']))
    decoded = self._decoded(in_place, given['limit'], update['shared_seed'])
    error = [tf.reduce_sum(tf.square(y - x)) for x, y in zip(tensors, decoded, strict=True)]
    squares = tf.stack([tf.add_n(error), tf.add_n([tf.reduce_sum(tf.square(x)) for x in tensors])])
    return tf.where(update['answers'], squares, 0.0)

  def _decoded(self, levels: tf.Tensor, limit: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    terms = tf.split(self._plan.grid.values(levels, limit), self._sizes)
    decoder, tensors = groups_lib.GroupDecoder(seed), {}
    for group, term in zip(self._groups, terms, strict=True):
      tensors.update(decoder.finish(group, term, self._specs))
    return tuple(tensors[index] if index in tensors else tf.zeros(spec.shape) for index, spec in enumerate(self._specs))

  def _present_sizes(self, travels: tf.Tensor) -> tf.Tensor:
    present = [groups_lib.any_present(group, travels) for group in self._groups]
    return tf.where(tf.stack(present), self._sizes, 0)

  def _in_place(self, values: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Puts the values of those groups that travel where they belong: [num_values]."""
    parts = tf.split(values, sizes, num=len(self._sizes))
    return tf.concat([_padded(part, size) for part, size in zip(parts, self._sizes, strict=True)], axis=0)

  def _pack(self, values: tf.Tensor, bits: int) -> tf.Tensor:
    return bitpack.pack(tf.bitwise.bitwise_and(values, 2**bits - 1), bits)

  def _only_if(self, answers: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    return tf.cond(answers, lambda: tensor, lambda: tf.zeros([0], tensor.dtype))

  def _signed(self, values: tf.Tensor) -> tf.Tensor:
    return self._in_field(tf.cast(values, tf.int64))

  def _in_field(self, values: tf.Tensor) -> tf.Tensor:
    """Returns int64 values modulo the field's size, about zero."""
    half = 2 ** (self._plan.field_bits - 1)
    return tf.math.floormod(values + half, 2 * half) - half

  def _is_known(self, added: Mapping[str, Any]) -> tf.Tensor:
    least = tf.math.ceil(self._plan.threshold * tf.cast(added['invited'], tf.float64) - 1e-9)
    return tf.cast(added['answered'], tf.float64) >= tf.maximum(least, self._plan.least_answers)


def _padded(values: tf.Tensor, size: int) -> tf.Tensor:
  """Returns values, of which there are as many as `size` or none, with zeros for those that are missing."""
  return tf.ensure_shape(tf.pad(values, [[0, size - tf.size(values)]]), [size])


def _count(flags: tf.Tensor) -> tf.Tensor:
  return tf.reduce_sum(tf.cast(flags, tf.int64))
