"""A family of models so small that they are pre-trained in seconds, or not at all."""

import pathlib

RECIPE = """\
--dataset={dataset}
--corpus={dataset}
--model=transformer(num_layers={depth}, width=8, mlp_width=8, num_heads=1)
--steps=4
--batch_size=8
--steps_per_eval=4
--steps_per_checkpoint=4
"""


def write(
  folder: pathlib.Path, depths: tuple[int, ...], dataset: str = 'docstrings(vocabulary="characters")'
) -> pathlib.Path:
  """Writes a recipe for each depth; returns the folder."""
  folder.mkdir(exist_ok=True)
  for depth in depths:
    (folder / f'tiny_{depth}.flags').write_text(RECIPE.format(depth=depth, dataset=dataset))
  return folder
