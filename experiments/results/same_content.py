"""Settings that say where data or weights are: those of equal content are alike, wherever it lies."""

from collections.abc import Mapping
from typing import Any

from experiments.command import flag_table
from experiments.command import plugins
from experiments.command import spec

# Such settings, and the fact of a run that names their content.
_KNOWN_BY = {
  'dataset': 'dataset_hash',
  'corpus': 'dataset_hash',
  'vocabulary': 'dataset_hash',
  'pretrained': 'pretrained_sha256',
  'teacher': 'teacher_sha256',
}
_WEIGHTS = ('pretrained', 'teacher')  # Nothing but paths.


def identity(name: str, value: Any, facts: Mapping[str, Any]) -> Any:
  """Returns what makes a setting of one run that of another.

  Args:
    name: The setting.
    value: What it is set to.
    facts: What decides the run besides its flags, by name, as in its `config.json`.

  Returns:
    The value; of plug-ins the hashes; for one that says where data or weights are, if a fact names these: that fact, and of a spec whatever else
    it says.
  """
  if name == flag_table.PLUGIN and value:
    return [plugins.content_hash(text) for text in value]
  content = facts.get(_KNOWN_BY.get(name, ''))
  if not content or not isinstance(value, str):
    return value
  if name in _WEIGHTS:
    return [content]
  try:
    return [content, *map(_without_path, spec.parse(value))]
  except spec.SpecError:
    return value


def _without_path(call: spec.Call) -> list[Any]:
  return [call.name, {name: value for name, value in call.arguments.items() if name != 'path'}]
