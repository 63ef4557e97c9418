"""Families of pre-trained models that differ in depth: a folder of recipes, one for each depth."""

from collections.abc import Sequence
import pathlib

from experiments import recipe
from experiments import spec
from models import catalog
from models import model as model_lib

_RECIPES = recipe.RECIPES.parent / 'tiny_transformers'


class Family:
  """The models of some depths; nothing is pre-trained before its weights are asked for.

  Attributes:
    depths: Numbers of blocks, ascending.
  """

  def __init__(self, prefix: str, depths: Sequence[int], recipes: pathlib.Path = _RECIPES):
    """Takes those recipes of a folder that are called `prefix`_depth.

    Raises:
      ValueError: For a depth without a recipe, or none at all.
    """
    self._prefix, self._recipes = prefix, recipes
    known = sorted(int(name.removeprefix(f'{prefix}_')) for name in recipe.names(recipes) if name.startswith(prefix))
    if not isinstance(depths, (list, tuple)) or not depths or not all(depth in known for depth in depths):
      raise ValueError(f'depths must be a list of some of {", ".join(map(str, known))}, not {depths!r}')
    self.depths = tuple(sorted(set(depths)))

  def spec(self, depth: int) -> str:
    """Returns the model of a depth as an argument of `--model` of `experiments.language_model`."""
    return recipe.flag(self._name(depth), 'model', self._recipes)

  def build(self, depth: int, vocabulary_size: int) -> model_lib.Model:
    """Builds the model of a depth, with random weights."""
    return spec.build(self.spec(depth), catalog.LANGUAGE_MODELS, 'model')(vocabulary_size)

  def pretrained(self, depth: int) -> pathlib.Path:
    """Returns the folder of the pre-trained model, made now unless it has been; raises as `recipe.folder_of`."""
    return recipe.folder_of(self._name(depth), self._recipes)

  def _name(self, depth: int) -> str:
    return f'{self._prefix}_{depth}'


def transformer(depths: Sequence[int] = (3, 6, 9, 12)) -> Family:
  """The character-level Transformers, of which `depths` may be chosen."""
  return Family('transformer', depths)


FAMILIES = {'transformer': transformer}
