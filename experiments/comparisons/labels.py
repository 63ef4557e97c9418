"""Names of settings that say no more than what differs between them: exact, as flags, and plain, as people say it."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import plugins
from experiments.command import spec

_FIRST = ('model', 'trainable', 'upload', 'download')  # The others follow in the order of the flags.
# What calls of specs are called, if not by their own name; those of the second kind, if arguments are told.
_NAMES = {
  'albert': 'ALBERT', 'bert': 'BERT', 'distilbert': 'DistilBERT', 'lstm': 'LSTM', 'resnet': 'ResNet',
  'transformer': 'Transformer', 'conformer': 'Conformer', 'vit': 'ViT', 'byol': 'BYOL', 'simclr': 'SimCLR',
  'simsiam': 'SimSiam', 'fed_adam': 'FedAdam', 'fed_avg': 'FedAvg', 'fed_prox': 'FedProx', 'mime_lite': 'MimeLite',
  'heterofl': 'HeteroFL', 'fedrolex': 'FedRolex', 'caff': 'CAFF', 'lora': 'LoRA', 'hetero_lora': 'HeteroLoRA',
  'all': 'full', 'identity': '32 bits', 'terngrad': 'TernGrad', 'qsgd': 'QSGD', 'drive': 'DRIVE', 'eden': 'EDEN',
  'three_lc': '3LC',
}  # fmt: skip
_FORMS = {'random': '{} trained', 'uniform': '{}', 'topk': 'top {}'}
_ALWAYS = ('bits', 'levels', 'fraction')  # Arguments that say more than the call's name.
_COUNTS = ('bits', 'levels', 'clients', 'labels', 'layers', 'blocks', 'classes', 'rounds', 'steps', 'epochs')
_SAYS_ITSELF = ('size', 'per')  # Arguments whose value does without their name.
_PRETRAINED = 'pretrained'
# What is told only if nothing else tells two settings apart: where weights come from, and rates, which are chosen for each.
_SPARED = (_PRETRAINED, 'client_lr', 'server_lr')


def exact(settings: Sequence[Mapping[str, Any]]) -> list[str]:
  """Names each of some settings by the flags that differ, or their values if it is only one."""
  differing = _differing(settings)
  if not differing:
    return [str(settings[0].get('model', 'all runs'))]
  if len(differing) == 1:
    return [given_objects.shown(f'{one.get(differing[0])}') for one in settings]
  return [
    ', '.join(f'{name}={given_objects.shown(str(one[name]))}' for name in differing if name in one) for one in settings
  ]


def plain(settings: Sequence[Mapping[str, Any]]) -> list[str]:
  """Names each of some settings in words, without learning rates unless nothing else tells two settings apart."""
  for without in (_SPARED, _SPARED[1:], _SPARED[:1], ()):
    found = _plain(settings, without)
    if all(found) and len(set(found)) == len(found):
      return found
  return exact(settings)


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
  names = dict.fromkeys(name for one in settings for name in one)
  return [name for name in names if any(one.get(name) != settings[0].get(name) for one in settings)]


def _plain(settings: Sequence[Mapping[str, Any]], without: Sequence[str]) -> list[str]:
  differing = _differing(settings) or [name for name in ('model',) if name in settings[0]]
  ordered = sorted(differing, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
  columns = [_words(name, [one.get(name) for one in settings], without) for name in ordered]
  if 'upload' in ordered and 'download' in ordered:
    for name, before in (('upload', 'up'), ('download', 'down')):
      place = ordered.index(name)
      columns[place] = [f'{before} {words}' for words in columns[place]]
  told = [words for words in columns if len(set(words)) > 1 or len(settings) == 1]
  return [', '.join(word for word in row if word) for row in zip(*told, strict=True)] if told else [''] * len(settings)


def _words(name: str, values: Sequence[Any], without: Sequence[str]) -> list[str]:
  """Returns what each setting's value of a flag is called."""
  if name == _PRETRAINED:
    start = 'warm start' if name in without or len(set(values) - {None}) == 1 else 'from {}'
    return ['from scratch' if value is None else start.format(pathlib.Path(value).name) for value in values]
  if name == flag_table.PLUGIN:
    return [' and '.join(map(plugins.short, value or ['no plug-in'])) for value in values]
  if ' ' in name:  # A hash, not a flag.
    return [f'{name} {value}' for value in values]
  chains = [_parsed(value) for value in values]

  def told(call: spec.Call) -> dict[str, Any]:
    alike = [other.arguments for chain in chains for other in chain if other.name == call.name]
    return {
      key: value
      for key, value in call.arguments.items()
      if key not in without and (key in _ALWAYS or any(key not in other or other[key] != value for other in alike))
    }

  single = [chain[0] for chain in chains if len(chain) == 1]
  if name != 'model' and len(single) == len(chains) and len({call.name for call in single}) == 1:
    arguments = [told(call) for call in single]
    if all(one and not set(one) & set(_ALWAYS) for one in arguments):
      return [_arguments(one) for one in arguments]  # The name of the call is the same for all.
  return [
    ' + '.join(_call(link.name, told(link)) for link in chain) if chain else _argument(name, value)
    for chain, value in zip(chains, values, strict=True)
  ]


def _parsed(value: Any) -> list[spec.Call]:
  """Returns the calls of a spec, none if it is not one, or says `none`."""
  try:
    return [] if value == 'none' else [_shown(call) for call in spec.parse(value)]
  except spec.SpecError:
    return []


def _shown(call: spec.Call) -> spec.Call:
  """Returns in the place of an object of a script what it says of itself."""
  if call.name != given_objects.NAME:
    return call
  name = str(call.arguments.get('name'))
  try:
    return spec.parse(name)[0]
  except spec.SpecError:
    return spec.Call(name, {})


def _call(name: str, arguments: Mapping[str, Any]) -> str:
  main = _arguments({key: value for key, value in arguments.items() if key in _ALWAYS})
  if main and name in _FORMS:
    others = _arguments({key: value for key, value in arguments.items() if key not in _ALWAYS})
    return f'{_FORMS[name].format(main)} {others}'.strip()
  words = _arguments(arguments)
  return f'{_NAMES.get(name, name.replace("_", " "))} {words}'.strip()


def _arguments(arguments: Mapping[str, Any]) -> str:
  return ' '.join(_argument(name, value) for name, value in arguments.items())


def _argument(name: str, value: Any) -> str:
  words = name.replace('_', ' ').replace(' lr', ' rate').replace(' mb', ' MB')
  if isinstance(value, bool) or value in (None, 'none'):
    return words if value is True else f'no {words}'
  if isinstance(value, str):
    bare = value.isidentifier()
    said = value.replace('_', ' ') if bare else ' + '.join(_call(*link) for link in _parsed(value)) or value
    return said if name in _SAYS_ITSELF else f'{words} {said}'
  if isinstance(value, (list, tuple)):
    return ' '.join([words, *map(str, value)])
  if name in _COUNTS:
    return f'{value} {words[:-1] if value == 1 else words}'
  if name == 'fraction':
    return f'{100 * value:g} %'
  return f'{words} {value:g}' if isinstance(value, float) else f'{words} {value}'
