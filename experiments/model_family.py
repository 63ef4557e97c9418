"""Families of pre-trained models that differ in depth: a folder of recipes, one for each depth."""

from collections.abc import Sequence
import pathlib
import re

from experiments import recipe
from experiments import spec
from models import catalog
from models import model as model_lib

_RECIPES = recipe.RECIPES.parent / 'tiny_transformers'
_NAME = re.compile(r'(?P<prefix>.*_)(?P<depth>\d+)')


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
      ValueError: If there are none, or not of these depths.
    """
    self._recipes = recipes
    self._names = {int(found['depth']): found[0] for name in recipe.names(recipes) if (found := _NAME.fullmatch(name))}
    if not self._names:
      raise ValueError(f'{recipes} holds no recipes such as transformer_3.flags')
    chosen = list(self._names) if depths is None else depths
    if not isinstance(chosen, (list, tuple)) or not chosen or not all(depth in self._names for depth in chosen):
      raise ValueError(f'depths must be a list of some of {", ".join(map(str, sorted(self._names)))}, not {depths!r}')
    self.depths = tuple(sorted(set(chosen)))

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
