"""Which package does this docstring come from: identification of authors that needs no download; a client is a module."""

from collections.abc import Iterator
import re

import numpy as np

from data import arguments
from data import holdout
from data import source
from data.sources import docstrings

# Chosen for their amount of text; none of them is in what the suite pre-trains on. Of equal sentences the first stays.
PACKAGES = (
  'scikit-learn', 'tensorflow-probability', 'sqlalchemy', 'keras', 'tensorflow', 'huggingface-hub', 'jax',
  'tensorflow-federated', 'tensorboard',
)  # fmt: skip

_VERSION = 1  # of this file
_WORDS_PER_EXAMPLE = 30
_HELDOUT_ONE_IN = 5  # modules of a package
_COPY = 'tensorflow.python.keras.'  # Keras, copied into another package
_MASK = 'package'
# Words that name a package, in whole: `tf.function`, jaxpr, TensorFlow Probability.
_NAMES = re.compile(
  r'\w*(?:tensorflow|tensorboard|scikit|sklearn|sqlalchemy|keras|jax|hugging\s?face)\w*(?:[ -](?:federated|probability|learn|hub)\b)?'
  r'|\b(?:tf|hf)\w*',
  re.IGNORECASE,
)


def docstring_packages(
  classes: int = len(PACKAGES), max_examples: int | None = None, sequence_length: int = 64
) -> source.LabelledSource:
  """Docstrings of installed packages in pieces of some sentences; the class is the package, whose name is masked.

  Every class has equally many examples. A fifth of the modules of each package, by a hash of their names, is held out.

  Args:
    classes: How many packages, of the nine.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if an argument is out of range or a package is not installed.
  """
  arguments.require_integer('classes', classes, 2, len(PACKAGES))
  packages = PACKAGES[:classes]
  return source.LabelledSource(
    name='docstring_packages',
    fingerprint=' '.join([f'version={_VERSION}', docstrings.fingerprint(packages)]),
    read=lambda: _read(packages),
    class_names=packages,
    max_examples=max_examples,
    sequence_length=sequence_length,
  )


def mask(text: str) -> str:
  """Returns the text with another word for every word that names a package."""
  return _NAMES.sub(_MASK, text)


def _read(packages: tuple[str, ...]) -> Iterator[tuple[str, source.Example]]:
  examples: dict[tuple[str, str], list[source.Example]] = {}
  found = {package: {} for package in packages}
  for package, module, sentences in docstrings.read_modules(packages):
    if not module.startswith(_COPY):
      found[package][module] = _join(sentences)
  for package, modules in found.items():
    heldout = holdout.choose(modules, _HELDOUT_ONE_IN)
    for module, texts in modules.items():
      split = 'heldout' if module in heldout else 'train'
      members = examples.setdefault((split, package), [])
      members.extend(source.Example(module, mask(text), package) for text in texts)
  yield from _balanced(examples)


def _join(sentences: list[str]) -> list[str]:
  """Joins neighbouring sentences to texts of at least so many words; what is left over at the end is dropped."""
  texts, current = [], ''
  for sentence in sentences:
    current = f'{current} {sentence}'
    if len(current.split()) >= _WORDS_PER_EXAMPLE:
      texts.append(current.strip())
      current = ''
  return texts


def _balanced(examples: dict[tuple[str, str], list[source.Example]]) -> Iterator[tuple[str, source.Example]]:
  """Yields as many examples of each class as the smallest class of the split has, drawn at random from the others."""
  for (split, _), members in examples.items():
    kept = min(len(others) for (other, _), others in examples.items() if other == split)
    for index in sorted(np.random.default_rng(0).permutation(len(members))[:kept].tolist()):
      yield split, members[index]
