"""From the text of `--upload` and `--download` to a codec: the links of a chain, by name."""

import collections
from typing import Any

from compression import adaptive
from compression import catalog
from compression import chain
from compression import trial
from compression import update_codec
from experiments.command import given_objects
from experiments.command import plugins
from experiments.command import spec


def build(text: Any, what: str = 'codec') -> update_codec.UpdateCodec | adaptive.AdaptiveCodec:
  """Builds the codec that `text` names.

  Args:
    text: A chain of links, for example `small_as(size=1000)|hadamard|uniform(bits=4)`; from a script also a codec, a
      stage, or a list of texts and stages.
    what: What it is for, for messages: `upload`.

  Returns:
    The codec of an update.

  Raises:
    SpecError: If the text is not a chain, or the chain makes no sense.
  """
  if isinstance(text, update_codec.UpdateCodec):
    return text
  links = _links(text, what)
  try:
    codec = chain.build(links)
    _try(text, codec)
    return codec
  except ValueError as error:
    raise spec.SpecError(f'{what} {text!r}: {error}') from error


def _links(text: Any, what: str) -> list[chain.Link]:
  if not given_objects.is_one(text):
    return spec.build_chain(text, LINKS, what)
  found = []
  for part in text if isinstance(text, list) else [text]:
    found += [spec.checked(part, chain.Link.__args__, what)] if given_objects.is_one(part) else _links(part, what)
  return found


def _try(text: Any, codec: update_codec.UpdateCodec | adaptive.AdaptiveCodec) -> None:
  """Raises `ValueError` if a codec with a stage of one's own does not encode and decode; what adapts is not tried."""
  is_own = given_objects.is_one(text) or any(plugins.has(call.name) for call in spec.parse(text))
  if isinstance(codec, update_codec.UpdateCodec) and is_own:
    trial.check(codec.codec)


def build_download(text: Any) -> update_codec.UpdateCodec:
  """Builds the codec that `text`, an argument of `--download`, names; raises `SpecError` as `build`."""
  codec = build(text, 'download')
  if isinstance(codec, adaptive.AdaptiveCodec):
    raise spec.SpecError(f'download {text!r} follows the votes of clients on their uploads: use it for --upload')
  return codec


def _small_as(codec: str = 'identity', size: int = 1000) -> chain.SmallAs:
  """Encodes variables of fewer than `size` values by `codec`, itself a chain of stages.

  Args:
    codec: The chain, in quotes, such as "uniform(bits=8)|rans".
    size: Values that a variable must have to be encoded like the large ones, at least 1.
  """
  whole = dict.fromkeys(catalog.ADAPTIVE, 'is a whole codec, which stands alone')
  links = spec.build_chain(codec, _STAGES, 'codec of small variables', _NOT_OF_SMALL | whole)
  small = chain.build(links)
  _try(codec, small)
  return chain.SmallAs(small.codec, size)


# Of catalogues as they are when a spec is built, since plug-ins add to them. The last map comes first.
_STAGES = collections.ChainMap(catalog.WRAPPED, catalog.STAGES, {'identity': chain.Identity})
_NOT_OF_SMALL = {
  'concat': 'joins large variables, too: write concat|small_as(...)',
  'small_as': 'is not for one inside another: name one size',
}
LINKS = collections.ChainMap(
  catalog.ADAPTIVE,
  catalog.WRAPPED,
  catalog.STAGES,
  {'identity': chain.Identity, 'concat': chain.Concat, 'small_as': _small_as},
)
