"""The policies of `--trainable`: what a client trains, and in which shape."""

import dataclasses

import numpy as np
import tensorflow as tf

from data import arguments
from models import adapters
from models import model as model_lib
from optimizers import block_names
from optimizers import depth_dropout as depth_dropout_lib
from optimizers import trainable
from optimizers import unit_keys


@dataclasses.dataclass(frozen=True)
class All(trainable.Policy):
  """Trains every variable: all of the model, by all clients."""

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns True for each variable."""
    del seeds
    return [True] * len(model.variables)


@dataclasses.dataclass(frozen=True)
class Random(trainable.Policy):
  """Trains whole variables, drawn at random, and all additive ones (Yang et al. 2021, arXiv 2110.05607).

  Each multiplicative variable (kernel, embedding, scale) is drawn by itself, with the probability that makes `fraction`
  of all parameters trained on average.

  Attributes:
    fraction: Share of all parameters that is trained on average, in (0, 1].
    resample: When the subset is drawn: `never` (once, for all), `round` (anew each round, for all clients) or `client`
      (anew for each client in each round).
    denominator: See `Policy`.
  """

  fraction: float
  resample: str = 'client'
  denominator: str = 'trained'

  def __post_init__(self):
    arguments.check_within('(0, 1]', fraction=self.fraction)
    arguments.check_one_of(('never', 'round', 'client'), resample=self.resample)
    arguments.check_one_of(('trained', 'all'), denominator=self.denominator)

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool | tf.Tensor]:
    """Draws the subset; raises `ValueError` if additive variables are more than `fraction` of the model."""
    probability = _probability(model, self.fraction)
    drawn = [not variable.is_additive for variable in model.variables]
    if probability >= 1.0:
      return [True] * len(drawn)
    if self.resample == 'never':
      draws = np.random.default_rng(seeds.run).random(len(drawn))
      return [bool(not is_drawn or draw < probability) for is_drawn, draw in zip(drawn, draws, strict=True)]
    seed = seeds.round_seed if self.resample == 'round' else seeds.client_seed
    draws = tf.random.stateless_uniform([len(drawn)], seed)
    return [draws[index] < probability if is_drawn else True for index, is_drawn in enumerate(drawn)]


@dataclasses.dataclass(frozen=True)
class Frozen(trainable.Policy):
  """Trains all but kernels that keep their random initial value: FedPT (Sidahmed et al. 2021, arXiv 2110.03450).

  Those are multiplicative variables; they never travel.

  Attributes:
    blocks: The first this many blocks give their kernels; by default all blocks, the embedding and the head do.
    fraction: Share of the parameters of those, in (0, 1]: whole variables, drawn once, at most this much.
  """

  blocks: int | None = None
  fraction: float = 1.0

  def __post_init__(self):
    arguments.check_within('(0, 1]', fraction=self.fraction)
    if self.blocks is not None:
      arguments.check_whole(1, blocks=self.blocks)

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables do not stay as they are drawn."""
    names = self.rebuilt(model, seeds.run)
    return [variable.name not in names for variable in model.variables]

  def rebuilt(self, model: model_lib.Model, seed: int) -> frozenset[str]:
    """Returns the names of variables that stay; raises `ValueError` if there are none."""
    candidates = [variable for variable in model.variables if not variable.is_additive]
    if self.blocks is not None:
      first = block_names.blocks(model, self.blocks)[: self.blocks]
      candidates = [variable for variable in candidates if variable.block in first]
    left = self.fraction * sum(variable.size for variable in candidates)
    names = set()
    for index in np.random.default_rng(seed).permutation(len(candidates)):
      if candidates[index].size <= left:
        left -= candidates[index].size
        names.add(candidates[index].name)
    if not names:
      raise ValueError(
        f'frozen(fraction={self.fraction}) would freeze nothing: no variable is that small; raise fraction'
      )
    return frozenset(names)


@dataclasses.dataclass(frozen=True)
class Suffix(trainable.Policy):
  """Trains the last blocks and the head; what is below runs forward only.

  Attributes:
    blocks: How many blocks, at least 1 and at most all.
  """

  blocks: int

  def __post_init__(self):
    arguments.check_whole(1, blocks=self.blocks)

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables lie in those blocks; raises `ValueError` if the model has fewer."""
    del seeds
    chosen = {*block_names.blocks(model, self.blocks)[-self.blocks :], block_names.head(model, 'suffix')}
    return [variable.block in chosen for variable in model.variables]


@dataclasses.dataclass(frozen=True)
class Layerwise(trainable.Policy):
  """Trains the last blocks and the head: a stage of layer-wise learning, Guo et al. 2023 (arXiv 2309.05213).

  What is below was trained in earlier stages: clients have kept it, and run it forward only. If nothing is below, the
  embedding is trained too.

  Attributes:
    blocks: How many blocks the stage adds.
    drop_rate: With which probability each of the blocks below is left out, in [0, 1).
    drop_per: How often that is drawn: `step`, `client` (in each round) or `round` (for all clients alike).
  """

  blocks: int
  drop_rate: float = 0.0
  drop_per: str = 'step'

  def __post_init__(self):
    arguments.check_whole(1, blocks=self.blocks)
    _ = self.depth_dropout  # Refuses a rate out of range.

  @property
  def depth_dropout(self) -> depth_dropout_lib.DepthDropout:
    """Which of the blocks below are left out."""
    return depth_dropout_lib.DepthDropout(self.drop_rate, self.drop_per)

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables the stage trains; raises `ValueError` if the model has fewer blocks."""
    del seeds
    return self._flags(model)

  def kept(self, model: model_lib.Model) -> frozenset[str]:
    """Returns the names of all other variables."""
    flags = self._flags(model)
    return frozenset(variable.name for variable, flag in zip(model.variables, flags, strict=True) if not flag)

  def _flags(self, model: model_lib.Model) -> list[bool]:
    names = block_names.blocks(model, self.blocks)
    chosen = {*names[-self.blocks :], block_names.head(model, 'layerwise')}
    if self.blocks == len(names):
      chosen.add(block_names.EMBEDDING)
    return [variable.block in chosen for variable in model.variables]


@dataclasses.dataclass(frozen=True)
class Bias(trainable.Policy):
  """Trains additive variables only (Ben Zaken et al. 2021, arXiv 2106.10199)."""

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables are additive; raises `ValueError` if none is."""
    del seeds
    chosen = [variable.is_additive for variable in model.variables]
    if not any(chosen):
      raise ValueError('bias would train nothing: the model has no variable whose name ends in bias')
    return chosen


@dataclasses.dataclass(frozen=True)
class Head(trainable.Policy):
  """Trains the head only."""

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables lie in the head; raises `ValueError` if the model has none."""
    del seeds
    return [variable.block == block_names.head(model, 'head') for variable in model.variables]


@dataclasses.dataclass(frozen=True)
class Lora(trainable.Policy):
  """Trains low-rank adapters and the head (Hu et al. 2021, arXiv 2106.09685).

  Attributes:
    rank: Rank of the product of two matrices that is added to a kernel.
    alpha: The product is scaled by alpha / rank; `rank` by default.
    on: Regular expression of the names of kernels that get one; by default all.
  """

  rank: int
  alpha: float | None = None
  on: str | None = None
  of_model = ('alpha', 'on')

  def __post_init__(self):
    arguments.check_whole(1, adapters.MOST_UNITS, rank=self.rank)
    arguments.check_positive(alpha=self.rank if self.alpha is None else self.alpha)
    arguments.check_expression(on=self.on or '')

  def adapt(self, model: model_lib.Model) -> model_lib.Model:
    """Returns the model with the adapters; raises `ValueError` if no kernel gets one."""
    return adapters.with_lora(model, self.rank, self.alpha or self.rank, **({} if self.on is None else {'on': self.on}))

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables are of the adapters or the head."""
    del seeds
    return _added_and_head(model, 'lora')

  def units(self, model: model_lib.Model) -> dict[str, int]:
    """Returns the rank."""
    del model
    return {'rank': self.rank}


@dataclasses.dataclass(frozen=True)
class Adapter(trainable.Policy):
  """Trains bottlenecks on the outputs of sub-layers, and the head (Houlsby et al. 2019, arXiv 1902.00751).

  Attributes:
    width: Units of the hidden layer of an adapter.
    on: Regular expression of the names of the kernels whose outputs get one; by default the last of each sub-layer.
  """

  width: int
  on: str | None = None
  of_model = ('width', 'on')

  def __post_init__(self):
    arguments.check_whole(1, adapters.MOST_UNITS, width=self.width)
    arguments.check_expression(on=self.on or '')

  def adapt(self, model: model_lib.Model) -> model_lib.Model:
    """Returns the model with the adapters; raises `ValueError` if no kernel gets one."""
    return adapters.with_adapters(model, self.width, **({} if self.on is None else {'on': self.on}))

  def choose(self, model: model_lib.Model, seeds: trainable.Seeds) -> list[bool]:
    """Returns which variables are of the adapters or the head."""
    del seeds
    return _added_and_head(model, 'adapter')


@dataclasses.dataclass(frozen=True)
class Width(All):
  """Trains sub-models of fewer units, HeteroFL (arXiv 2010.01264); rolling ones, FedRolex (arXiv 2212.01548).

  Units are neurons of MLPs and LSTM cells, and attention heads. Clients receive, train and send only some of them; the
  residual width stays. Where we differ from the papers: a client's activations are not divided by its share of the
  units (the scaler of HeteroFL).

  Attributes:
    fraction: Share of the units of each axis, in (0, 1], in whole keys of units, at least one.
    rolling: Whether the window of units moves on by one key each round (FedRolex) or is always the first (HeteroFL).
    denominator: See `Policy`.
  """

  fraction: float
  rolling: bool = True
  denominator: str = 'trained'

  def __post_init__(self):
    arguments.check_within('(0, 1]', fraction=self.fraction)
    arguments.check_one_of((True, False), rolling=self.rolling)
    arguments.check_one_of(('trained', 'all'), denominator=self.denominator)

  def units(self, model: model_lib.Model) -> dict[str, int]:
    """Returns how many neurons and heads a client holds; raises `ValueError` if the model names none."""
    axes = {variable.units.axis for variable in model.variables if variable.units} & {'heads', 'neurons'}
    if not axes:
      raise ValueError('width needs a model whose variables name their units; this one has none')
    return {axis: unit_keys.whole_keys(model, axis, self.fraction) for axis in sorted(axes)}


def _added_and_head(model: model_lib.Model, kind: str) -> list[bool]:
  """Returns which variables are of adapters of a kind or of the head."""
  head = block_names.head(model, kind)
  return [f'_{kind}_' in variable.name.rsplit('/', 1)[-1] or variable.block == head for variable in model.variables]


def _probability(model: model_lib.Model, fraction: float) -> float:
  """Returns with which probability a multiplicative variable is drawn."""
  additive = sum(variable.size for variable in model.variables if variable.is_additive)
  probability = (fraction * model.num_parameters - additive) / (model.num_parameters - additive)
  if probability <= 0.0:
    share = f'{additive / model.num_parameters:.3f} of additive variables, which are always trained'
    raise ValueError(f'fraction={fraction} is not more than the {share}: raise it, or use bias')
  return probability
