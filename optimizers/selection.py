"""Which units of a model a client asks for: the keys of federated select (Charles et al. 2022, arXiv 2208.09432).

vocabulary       structured keys: the sub-words that occur in the client's own data, most frequent first, and the
                 special ones; if that is fewer than asked for, random others, so that over the rounds the client
                 models learn of every sub-word when not to predict it
neurons, heads   random keys, drawn by each client anew in each round, the same for all blocks
blocks           random whole blocks, likewise; the client's model skips the others, so they have to be residual
"""

from collections.abc import Mapping
import dataclasses

import tensorflow as tf

from data import arguments
from models import model as model_lib
from models import task as task_lib
from optimizers import blocks as blocks_lib
from optimizers import devices as devices_lib
from optimizers import trainable
from optimizers import unit_keys

_RANDOM_AXES = ('heads', 'neurons')
_NUM_SPECIAL = 4  # The first ids, which every client needs: padding, begin, end and unknown.
_BATCH_SIZE = 64  # Does not change the result.


@dataclasses.dataclass(frozen=True)
class Selection:
  """Federated select: how much of a model clients choose themselves, receive, train and send.

  Attributes:
    vocabulary: Number of sub-words; None for all.
    neurons: Fraction of the neurons of every block, in (0, 1]; None for all.
    heads: Fraction of the attention heads of every block, in (0, 1]; None for all.
    blocks: Number of residual blocks, which stay in their order; the others are skipped, as if they were the identity.
      None for all. Does not combine with neurons and heads.
  """

  vocabulary: int | None = None
  neurons: float | None = None
  heads: float | None = None
  blocks: int | None = None

  def __post_init__(self):
    for name, least in dict(vocabulary=_NUM_SPECIAL, blocks=1).items():
      if getattr(self, name) is not None:
        arguments.check_whole(least, **{name: getattr(self, name)})
    for axis in _RANDOM_AXES:
      if getattr(self, axis) is not None:
        arguments.check_within('(0, 1]', **{axis: getattr(self, axis)})
    if all(value is None for value in dataclasses.astuple(self)):
      raise ValueError('name what to select: vocabulary=..., neurons=..., heads=... or blocks=...')
    if self.blocks is not None and (self.neurons is not None or self.heads is not None):
      raise ValueError('blocks does not combine with neurons or heads: a key of those stands for a part of every block')

  def counts(self, model: model_lib.Model) -> dict[str, int]:
    """Returns the number of units of each selected axis, whole keys of them; blocks are no axis.

    Raises:
      ValueError: If the model has no such axis, not so many units or blocks, or blocks that cannot be skipped.
    """
    counts = {}
    for axis in ('vocabulary', *_RANDOM_AXES):
      wanted = getattr(self, axis)
      if wanted is None:
        continue
      total = unit_keys.num_units(model, axis)
      if axis == 'vocabulary' and wanted > total:
        raise ValueError(f'vocabulary={wanted}, but there are {total} sub-words: lower it')
      counts[axis] = unit_keys.whole_keys(model, axis, wanted / total if axis == 'vocabulary' else wanted)
    if self.blocks is not None and not model.skips_blocks:
      raise ValueError('blocks needs a model of residual blocks, which works without some of them: use a transformer')
    if self.blocks is not None and self.blocks > (total := blocks_lib.Blocks(model).count):
      raise ValueError(f'blocks={self.blocks}, but the model has {total}: lower it')
    return counts

  def check(self, model: model_lib.Model, devices: devices_lib.Devices) -> None:
    """Raises `ValueError` if clients would select units of which they train nothing, or that additions do not follow.

    Args:
      model: The adapted one.
      devices: Which client trains which part of it.
    """
    axes = self.counts(model)
    if set(axes) & set(_RANDOM_AXES) and any(
      type(policy).adapt is not trainable.Policy.adapt for policy in devices.tiers
    ):
      raise ValueError(
        'neurons and heads cannot be selected where adapters stand beside their kernels: select vocabulary or blocks, or '
        'train without adapters'
      )
    for policy in devices.tiers:
      flags = policy.flags_known_when_traced(model, seed=0)
      trained = {
        each.units.axis for each, flag in zip(model.variables, flags, strict=True) if each.units and flag is not False
      }
      if missing := [axis for axis in axes if axis not in trained]:
        raise ValueError(f'clients would select {missing[0]} of which they train none: leave out {missing[0]}=...')

  def keys(self, task: task_lib.Task, examples: tf.data.Dataset, client_seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws a client's keys.

    Args:
      task: Whose batches hold the client's tokens.
      examples: Those the client trains on.
      client_seed: int64[2].

    Returns:
      For each selected axis, blocks included, the keys, ascending: int32 [number of keys].
    """
    model, keys = task.model, {}
    for axis, count in self.counts(model).items():
      size, num_keys = unit_keys.units_per_key(model, axis), unit_keys.num_keys(model, axis)
      scores = _random_scores(axis, num_keys, client_seed)  # Below 1, so that they decide only between equals.
      if axis == 'vocabulary':
        counts = tf.reduce_sum(tf.reshape(_occurrences(examples, num_keys * size), [num_keys, size]), axis=1)
        scores += tf.where(tf.range(num_keys) * size < _NUM_SPECIAL, tf.float32.max, tf.cast(counts, tf.float32))
      keys[axis] = _highest(scores, count // size)
    if self.blocks is not None:
      scores = _random_scores(blocks_lib.AXIS, blocks_lib.Blocks(model).count, client_seed)
      keys[blocks_lib.AXIS] = _highest(scores, self.blocks)
    return keys


def _random_scores(axis: str, num_keys: int, client_seed: tf.Tensor) -> tf.Tensor:
  index = (*_RANDOM_AXES, blocks_lib.AXIS, 'vocabulary').index(axis)
  seed = tf.random.experimental.stateless_fold_in(client_seed, tf.constant(index, tf.int64))
  return tf.random.stateless_uniform([num_keys], seed)


def _highest(scores: tf.Tensor, count: int) -> tf.Tensor:
  _, chosen = tf.math.top_k(scores, count)  # Of equal scores the lower key.
  return tf.sort(chosen)


def _occurrences(examples: tf.data.Dataset, vocabulary_size: int) -> tf.Tensor:
  def add(total: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    counts = tf.math.bincount(tf.reshape(batch['tokens'], [-1]), minlength=vocabulary_size, maxlength=vocabulary_size)
    return total + counts

  return examples.batch(_BATCH_SIZE).reduce(tf.zeros([vocabulary_size], tf.int32), add)
