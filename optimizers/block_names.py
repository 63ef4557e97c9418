"""The parts of a model that policies go by, told by the names of variables: an embedding, blocks, and a head."""

from models import model as model_lib

EMBEDDING = 'embedding'
_BLOCK, _HEAD = 'block_', 'head'


def blocks(model: model_lib.Model, wanted: int) -> list[str]:
  """Returns the names of the model's blocks in order; raises `ValueError` if there are fewer than `wanted`."""
  _check_named(model)
  names = list(dict.fromkeys(variable.block for variable in model.variables if variable.block.startswith(_BLOCK)))
  if not names:
    raise ValueError(f'blocks={wanted}, but the model has no block named {_BLOCK}0: train head or all')
  if wanted > len(names):
    raise ValueError(f'blocks={wanted}, but the model has {len(names)}: lower it')
  return names


def head(model: model_lib.Model, policy: str) -> str:
  """Returns the name of the block that comes last; raises `ValueError` if the model has none of that name."""
  _check_named(model)
  if all(variable.block != _HEAD for variable in model.variables):
    raise ValueError(f'{policy} would train nothing of the head: the model has no block named {_HEAD}')
  return _HEAD


def _check_named(model: model_lib.Model) -> None:
  """Raises `ValueError` for a variable of which no policy of blocks would know where it lies."""
  for variable in model.variables:
    if variable.block not in (EMBEDDING, _HEAD) and not variable.block.startswith(_BLOCK):
      raise ValueError(
        f'{variable.name} lies in no block that a policy knows: begin names with {EMBEDDING}/, {_BLOCK}0/ ... or {_HEAD}/'
      )
