"""Families of pre-trained models that differ in depth: a folder of recipes, one for each depth."""

from collections.abc import Sequence
import functools
import pathlib
import re

from data import source as source_lib
from experiments.command import failures
from experiments.command import plugin_tables
from experiments.command import spec
from experiments.limits import domains
from experiments.starts import recipe

_FLAGFILES = recipe.RECIPES.parent
_NAME = re.compile(r'.*_(?P<depth>\d+)')


class ModelFamily:
  """The models of some depths; nothing is pre-trained before its weights are asked for.

  Attributes:
    domain: Language or vision.
    depths: Numbers of blocks, ascending.
  """

  def __init__(
    self,
    domain: domains.Domain,
    recipes: pathlib.Path,
    depths: Sequence[int] | None = None,
    dataset: str | None = None,
  ):
    """Takes the recipes of a folder, whose names end with the depth, as in transformer_3.flags.

    Args:
      domain: Of all of them.
      recipes: The folder.
      depths: Which of them; None for all.
      dataset: What they are pre-trained on, an argument of `--dataset`; None for that of the recipe.

    Raises:
      ValueError: If there are none, not of these depths, or one that is not what its name says.
    """
    if dataset is not None and not isinstance(dataset, str):
      raise ValueError(f'dataset must be a text such as "digits(classes=[0, 1])", not {dataset!r}')
    self.domain = domain
    self._recipes, self._dataset = recipes, dataset
    self._build_source = functools.cache(lambda text: spec.build(text, domain.datasets, 'dataset'))
    self._names = {}
    for name in recipe.names(recipes):
      if found := _NAME.fullmatch(name):
        self._add(int(found['depth']), name)
    if not self._names:
      raise ValueError(f'{recipes} holds no recipes such as transformer_3.flags')
    chosen = sorted(self._names) if depths is None else depths
    if not isinstance(chosen, (list, tuple)) or not chosen or not all(self._has(depth) for depth in chosen):
      raise ValueError(f'depths must be a list of some of {", ".join(map(str, sorted(self._names)))}, not {depths!r}')
    self.depths = tuple(sorted(set(chosen)))

  def spec(self, depth: int) -> str:
    """Returns the model of a depth as an argument of `--model` of other binaries."""
    return recipe.flag(self._names[depth], 'model', self._recipes)

  def check(self, source: source_lib.Source) -> None:
    """Raises `UsageError` for data of a run, of the domain's sources, that cannot be learned from these models."""
    self.domain.check(source)
    for depth in self.depths:
      self.domain.check_apart(source, self.source(depth))

  def pretrained(self, depth: int) -> pathlib.Path:
    """Returns the folder of the pre-trained model, made now unless it has been; raises as `recipe.folder_of`."""
    return recipe.folder_of(self._names[depth], self._recipes, self._dataset)

  def _add(self, depth: int, name: str) -> None:
    if depth in self._names:
      raise ValueError(f'{self._recipes} holds {self._names[depth]} and {name}, both of depth {depth}: remove one')
    text, dataset = (recipe.flag(name, flag, self._recipes) for flag in ('model', 'dataset'))
    if not text or not dataset:
      raise ValueError(f'{self._recipes / name}.flags must have --model and --dataset')
    self._names[depth] = name
    try:
      self.domain.check(self.source(depth))
    except failures.UsageError as error:
      raise ValueError(f'{self._recipes / name}.flags: {error}') from error
    num_blocks = self.domain.num_blocks(text)
    if num_blocks != depth:
      raise ValueError(
        f'{self._recipes / name}.flags has a model of {num_blocks} blocks: call it ..._{num_blocks}.flags'
      )

  def source(self, depth: int) -> source_lib.Source:
    """Returns the source that a model is pre-trained on, one of the domain's."""
    text = self._dataset or recipe.flag(self._names[depth], 'dataset', self._recipes)
    return self._build_source(text)

  def _has(self, depth: object) -> bool:
    return isinstance(depth, int) and not isinstance(depth, bool) and depth in self._names


def transformer(
  depths: Sequence[int] | None = None, recipes: str | None = None, dataset: str | None = None
) -> ModelFamily:
  """The character-level Transformers of 3, 6, 9 and 12 blocks.

  Args:
    depths: Those that may be chosen; None = all.
    recipes: Folder of recipes for others; None = experiments/flagfiles/tiny_transformers.
    dataset: Other text to pre-train on, a spec in quotes; None = that of the recipes.
  """
  return _family(domains.LANGUAGE, 'tiny_transformers', depths, recipes, dataset)


def vit(depths: Sequence[int] | None = None, recipes: str | None = None, dataset: str | None = None) -> ModelFamily:
  """The Vision Transformers, pre-trained on other classes than those that devices learn.

  Args:
    depths: Those that may be chosen; None = all.
    recipes: Folder of recipes for others, such as experiments/flagfiles/vits_32 for images of 32 x 32 pixels; None =
      experiments/flagfiles/vits_8.
    dataset: Other images to pre-train on, a spec in quotes; None = those of the recipes.
  """
  return _family(domains.VISION, 'vits_8', depths, recipes, dataset)


def resnet(depths: Sequence[int] | None = None, recipes: str | None = None, dataset: str | None = None) -> ModelFamily:
  """The residual networks, pre-trained on other classes than those that devices learn.

  Args:
    depths: See `vit`.
    recipes: Folder of recipes for others; None = experiments/flagfiles/resnets_8.
    dataset: See `vit`.
  """
  return _family(domains.VISION, 'resnets_8', depths, recipes, dataset)


FAMILIES = {'transformer': transformer, 'vit': vit, 'resnet': resnet}
plugin_tables.add('FAMILIES', plugin_tables.Table(FAMILIES, 'families', 'families', ModelFamily))


def _family(
  domain: domains.Domain, folder: str, depths: Sequence[int] | None, recipes: str | None, dataset: str | None
) -> ModelFamily:
  return ModelFamily(domain, _FLAGFILES / folder if recipes is None else pathlib.Path(recipes), depths, dataset)
