"""Leaves a BERT that nobody has trained in the layout of Hugging Face, to measure what one of that size costs.

    python -m tools.random_bert /tmp/bert-base
    python -m tools.random_bert /tmp/bert-tiny tiny

It has the vocabulary size of bert-base-cased: 28,996, of which all but the letters, digits and marks are made up, so that
texts become as many tokens as they have characters.
"""

import pathlib
import string
import sys

from models import bert
from models import hugging_face

_VOCABULARY_SIZE = 28_996
_SPECIAL = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')


def main(folder: pathlib.Path, size: str = 'base') -> None:
  """Writes config.json, model.safetensors and vocab.txt into a new folder."""
  encoder = bert.bert(size=size)
  classifier = encoder.classifier(_VOCABULARY_SIZE, 2)
  weights = {
    variable.name: weight.numpy()
    for variable, weight in zip(classifier.variables, classifier.initial_weights(0), strict=True)
  }
  characters = string.ascii_letters + string.digits + string.punctuation
  pieces = [*_SPECIAL, *characters, *(f'##{character}' for character in characters)]
  pieces += [f'unused{number}' for number in range(_VOCABULARY_SIZE - len(pieces))]
  folder.mkdir(parents=True)
  files = {'vocab.txt': ('\n'.join(pieces) + '\n').encode()}
  hugging_face.save(folder, hugging_face.Pretrained(encoder, _VOCABULARY_SIZE, weights, ('no', 'yes'), files))


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
