"""Families of pre-trained models that differ in depth: a folder of recipes, one for each depth."""

from collections.abc import Sequence
import pathlib
import re

from data import catalog as data_catalog
from data import source
from experiments import recipe
from experiments import spec
from models import catalog
from models import model as model_lib

_RECIPES = recipe.RECIPES.parent / 'tiny_transformers'
_ANY_VOCABULARY_SIZE = 8  # To count blocks.
_NAME = re.compile(r'.*_(?P<depth>\d+)')


class Family:
  """The models of some depths; nothing is pre-trained before its weights are asked for.

  Attributes:
    depths: Numbers of blocks, ascending.
  """

  def __init__(self, recipes: pathlib.Path, depths: Sequence[int] | None = None):
    """Takes the recipes of a folder, whose names end with the depth, as in transformer_3.flags.

    Args:
      recipes: The folder.
      depths: Which of them; None for all.

    Raises:
      ValueError: If there are none, not of these depths, or one that is not what its name says.
    """
    self._recipes = recipes
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

  def _add(self, depth: int, name: str) -> None:
    if depth in self._names:
      raise ValueError(f'{self._recipes} holds {self._names[depth]} and {name}, both of depth {depth}: remove one')
    text, dataset = (recipe.flag(name, flag, self._recipes) for flag in ('model', 'dataset'))
    if not text or not dataset:
      raise ValueError(f'{self._recipes / name}.flags must have --model and --dataset')
    if spec.build(dataset, data_catalog.DATASETS, 'dataset').vocabulary != source.CHARACTERS:
      raise ValueError(f'{self._recipes / name}.flags must have a --dataset with vocabulary="characters"')
    variables = spec.build(text, catalog.LANGUAGE_MODELS, 'model')(_ANY_VOCABULARY_SIZE).variables
    num_blocks = len({variable.block for variable in variables if variable.block.startswith('block_')})
    if num_blocks != depth:
      raise ValueError(
        f'{self._recipes / name}.flags has a model of {num_blocks} blocks: call it ..._{num_blocks}.flags'
      )
    self._names[depth] = name

  def _has(self, depth: object) -> bool:
    return isinstance(depth, int) and not isinstance(depth, bool) and depth in self._names

  def spec(self, depth: int) -> str:
    """Returns the model of a depth as an argument of `--model` of `experiments.language_model`."""
    return recipe.flag(self._names[depth], 'model', self._recipes)

  def build(self, depth: int, vocabulary_size: int) -> model_lib.Model:
    """Builds the model of a depth, with random weights."""
    return spec.build(self.spec(depth), catalog.LANGUAGE_MODELS, 'model')(vocabulary_size)

  def pretrained(self, depth: int) -> pathlib.Path:
    """Returns the folder of the pre-trained model, made now unless it has been; raises as `recipe.folder_of`."""
    return recipe.folder_of(self._names[depth], self._recipes)


def transformer(depths: Sequence[int] | None = None, recipes: str | None = None) -> Family:
  """The character-level Transformers, of which `depths` may be chosen; `recipes` is a folder of others."""
  return Family(_RECIPES if recipes is None else pathlib.Path(recipes), depths)


FAMILIES = {'transformer': transformer}
