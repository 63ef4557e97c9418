"""The policies of `--trainable`.

all      every variable
random   partial variable training, Yang et al. 2021 (arXiv 2110.05607): a random subset of the multiplicative variables
frozen   FedPT, Sidahmed et al. 2021 (arXiv 2110.03450): a part of the random initial model stays as it is for ever
suffix   the last blocks and the head;  layerwise: the same when clients have kept all that is below
bias     additive variables only;  head: the head only
lora     Hu et al. 2021 (arXiv 2106.09685);  adapter: Houlsby et al. 2019 (arXiv 1902.00751); both with the head
width    sub-models of fewer hidden units: HeteroFL (arXiv 2010.01264), rolling = FedRolex (arXiv 2212.01548)
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from models import adapters
from models import model as model_lib
from optimizers import depth_dropout as depth_dropout_lib
from optimizers import trainable
from optimizers import unit_keys

_EMBEDDING, _BLOCK, _HEAD = 'embedding', 'block_', 'head'


def all_() -> trainable.Policy:
  """Configures training of every variable."""
  return trainable.Policy(lambda model, seeds: [True] * len(model.variables))


def random(fraction: float, resample: str = 'client', denominator: str = 'trained') -> trainable.Policy:
  """Configures partial variable training: whole variables, drawn at random; additive ones are always trained.

  Each multiplicative variable (kernel, embedding, scale) is drawn by itself, with the probability that makes `fraction`
  of all parameters trained on average.

  Args:
    fraction: Of all parameters, in (0, 1].
    resample: When the subset is drawn: `never` (once, for all), `round` (anew each round, for all clients) or `client`
      (anew for each client in each round).
    denominator: `trained` or `all`, see `Policy`.

  Returns:
    The policy.

  Raises:
    ValueError: For a value out of range; when the policy meets a model whose additive variables are more than
      `fraction` of it.
  """
  _check_fraction(fraction)
  _check_choice('resample', resample, ('never', 'round', 'client'))
  _check_choice('denominator', denominator, ('trained', 'all'))

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool | tf.Tensor]:
    probability = _probability(model, fraction)
    drawn = [not variable.is_additive for variable in model.variables]
    if probability >= 1.0:
      return [True] * len(drawn)
    if resample == 'never':
      draws = np.random.default_rng(seeds.run).random(len(drawn))
      return [bool(not is_drawn or draw < probability) for is_drawn, draw in zip(drawn, draws, strict=True)]
    draws = tf.random.stateless_uniform([len(drawn)], seeds.round_seed if resample == 'round' else seeds.client_seed)
    return [draws[index] < probability if is_drawn else True for index, is_drawn in enumerate(drawn)]

  return trainable.Policy(choose, denominator=denominator)


def frozen(blocks: int | None = None, fraction: float = 1.0) -> trainable.Policy:
  """Configures FedPT: multiplicative variables that keep their random initial value and never travel.

  Args:
    blocks: The first this many blocks give their kernels; by default all blocks, the embedding and the head do.
    fraction: Of the parameters of those, in (0, 1]: whole variables, drawn once, at most this much.

  Returns:
    The policy.

  Raises:
    ValueError: For a value out of range, or, when the policy meets the model, if nothing would be frozen.
  """
  _check_fraction(fraction)
  if blocks is not None:
    _check_positive_int('blocks', blocks)

  def rebuilt(model: model_lib.Model, seed: int) -> frozenset[str]:
    candidates = [variable for variable in model.variables if not variable.is_additive]
    if blocks is not None:
      first = _blocks(model, blocks)[:blocks]
      candidates = [variable for variable in candidates if variable.block in first]
    left = fraction * sum(variable.size for variable in candidates)
    names = set()
    for index in np.random.default_rng(seed).permutation(len(candidates)):
      if candidates[index].size <= left:
        left -= candidates[index].size
        names.add(candidates[index].name)
    if not names:
      raise ValueError(f'frozen(fraction={fraction}) would freeze nothing: no variable is that small; raise fraction')
    return frozenset(names)

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    names = rebuilt(model, seeds.run)
    return [variable.name not in names for variable in model.variables]

  return trainable.Policy(choose, rebuilt=rebuilt)


def suffix(blocks: int) -> trainable.Policy:
  """Configures training of the last `blocks` blocks and the head; what is below runs forward only."""
  _check_positive_int('blocks', blocks)

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    del seeds
    chosen = {*_blocks(model, blocks)[-blocks:], *_head(model, 'suffix')}
    return [variable.block in chosen for variable in model.variables]

  return trainable.Policy(choose)


def layerwise(blocks: int, drop_rate: float = 0.0, drop_per: str = 'step') -> trainable.Policy:
  """Configures a stage of layer-wise learning, Guo et al. 2023 (arXiv 2309.05213): the last blocks and the head.

  What is below was trained in earlier stages: clients have kept it, and run it forward only. If nothing is below, the
  embedding is trained too.

  Args:
    blocks: How many blocks the stage adds.
    drop_rate: Of the blocks below, with which probability each is left out, in [0, 1): see `depth_dropout`.
    drop_per: How often that is drawn: `step`, `client` (in each round) or `round` (for all clients alike).

  Returns:
    The policy.

  Raises:
    ValueError: For a value out of range; when the policy meets a model with fewer blocks.
  """
  _check_positive_int('blocks', blocks)
  depth_dropout = depth_dropout_lib.DepthDropout(drop_rate, drop_per)

  def is_trained(model: model_lib.Model) -> list[bool]:
    names = _blocks(model, blocks)
    chosen = {*names[-blocks:], *_head(model, 'layerwise')} | ({_EMBEDDING} if blocks == len(names) else set())
    return [variable.block in chosen for variable in model.variables]

  def held(model: model_lib.Model) -> frozenset[str]:
    return frozenset(
      variable.name for variable, flag in zip(model.variables, is_trained(model), strict=True) if not flag
    )

  return trainable.Policy(lambda model, seeds: is_trained(model), held=held, depth_dropout=depth_dropout)


def bias() -> trainable.Policy:
  """Configures training of additive variables only (Ben Zaken et al. 2021, arXiv 2106.10199)."""

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    del seeds
    chosen = [variable.is_additive for variable in model.variables]
    if not any(chosen):
      raise ValueError('bias would train nothing: the model has no variable whose name ends in bias')
    return chosen

  return trainable.Policy(choose)


def head() -> trainable.Policy:
  """Configures training of the head only."""
  return trainable.Policy(lambda model, seeds: [variable.block in _head(model, 'head') for variable in model.variables])


def lora(rank: int, alpha: float | None = None, on: str | None = None) -> trainable.Policy:
  """Configures low-rank adapters; they and the head are trained.

  Args:
    rank: Of the product added to a kernel.
    alpha: The product is scaled by alpha / rank; `rank` by default.
    on: Regular expression of the names of kernels that get one; by default all.

  Returns:
    The policy.
  """
  _check_positive_int('rank', rank)

  def adapt(model: model_lib.Model) -> model_lib.Model:
    return adapters.with_lora(model, rank, rank if alpha is None else alpha, **({} if on is None else {'on': on}))

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    del seeds
    head = _head(model, 'lora')
    return [_is_added(variable, 'lora') or variable.block in head for variable in model.variables]

  def units(model: model_lib.Model) -> dict[str, int]:
    del model
    return {'rank': rank}

  return trainable.Policy(choose, adapt, units=units)


def adapter(width: int, on: str | None = None) -> trainable.Policy:
  """Configures bottleneck adapters of `width` units on the outputs of sub-layers; they and the head are trained."""
  _check_positive_int('width', width)

  def choose(model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    del seeds
    head = _head(model, 'adapter')
    return [_is_added(variable, 'adapter') or variable.block in head for variable in model.variables]

  return trainable.Policy(
    choose, lambda model: adapters.with_adapters(model, width, **({} if on is None else {'on': on}))
  )


def width(fraction: float, rolling: bool = True, denominator: str = 'trained') -> trainable.Policy:
  """Configures sub-models with a fraction of the hidden units: neurons of MLPs and LSTM cells, and attention heads.

  Clients receive, train and send only those. The residual width stays. Where we differ from the papers: a client's
  activations are not divided by its share of the units (the scaler of HeteroFL).

  Args:
    fraction: Of the units of each axis, in (0, 1], in whole keys (see `unit_keys`), at least one.
    rolling: Whether the window of units moves on by one key each round (FedRolex) or is always the first (HeteroFL).
    denominator: `trained` or `all`, see `Policy`.

  Returns:
    The policy.
  """
  _check_fraction(fraction)
  _check_choice('denominator', denominator, ('trained', 'all'))

  def units(model: model_lib.Model) -> dict[str, int]:
    axes = {variable.units.axis for variable in model.variables if variable.units} & {'heads', 'neurons'}
    if not axes:
      raise ValueError('width needs a model whose variables name their units; this one has none')
    return {axis: unit_keys.whole_keys(model, axis, fraction) for axis in sorted(axes)}

  return trainable.Policy(all_().choose, units=units, rolling=rolling, denominator=denominator)


def _is_added(variable: model_lib.Variable, kind: str) -> bool:
  return f'_{kind}_' in variable.name.rsplit('/', 1)[-1]


def _blocks(model: model_lib.Model, wanted: int) -> list[str]:
  """Returns the names of the model's blocks in order; raises `ValueError` if there are fewer than `wanted`."""
  _check_named(model)
  names = list(dict.fromkeys(variable.block for variable in model.variables if variable.block.startswith(_BLOCK)))
  if not names:
    raise ValueError(f'blocks={wanted}, but the model has no block named {_BLOCK}0: train head or all')
  if wanted > len(names):
    raise ValueError(f'blocks={wanted}, but the model has {len(names)}: lower it')
  return names


def _head(model: model_lib.Model, policy: str) -> frozenset[str]:
  """Returns the name of the block that comes last; raises `ValueError` if the model has none of that name."""
  _check_named(model)
  if all(variable.block != _HEAD for variable in model.variables):
    raise ValueError(f'{policy} would train nothing of the head: the model has no block named {_HEAD}')
  return frozenset([_HEAD])


def _check_named(model: model_lib.Model) -> None:
  """Raises `ValueError` for a variable of which no policy of blocks would know where it lies."""
  for variable in model.variables:
    if variable.block not in (_EMBEDDING, _HEAD) and not variable.block.startswith(_BLOCK):
      raise ValueError(
        f'{variable.name} lies in no block that a policy knows: begin names with {_EMBEDDING}/, {_BLOCK}0/ ... or {_HEAD}/'
      )


def _probability(model: model_lib.Model, fraction: float) -> float:
  """Returns with which probability a multiplicative variable is drawn."""
  additive = sum(variable.size for variable in model.variables if variable.is_additive)
  probability = (fraction * model.num_parameters - additive) / (model.num_parameters - additive)
  if probability <= 0.0:
    raise ValueError(
      f'fraction={fraction} is not more than the {additive / model.num_parameters:.3f} of additive variables, which '
      'are always trained: raise it, or use bias'
    )
  return probability


def _check_fraction(fraction: float) -> None:
  if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0.0 < fraction <= 1.0:
    raise ValueError(f'fraction must lie in (0, 1], not {fraction!r}')


def _check_positive_int(name: str, value: int) -> None:
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise ValueError(f'{name} must be a whole number of at least 1, not {value!r}')


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
  if value not in choices:
    raise ValueError(f'{name} must be one of {", ".join(choices)}, not {value!r}')
