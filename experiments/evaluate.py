"""Scores a model on any data set.

Question: how well does a model of the suite predict text, or classes of texts or images, that it has not seen?

    python -m experiments.evaluate --pretrained=runs/pretrained --dataset=docstrings
    python -m experiments.evaluate --pretrained=runs/classified --dataset=docstring_packages
    python -m experiments.evaluate --pretrained=runs/constrained_images --dataset='digits(classes=[5, 6, 7, 8, 9])'

The model cuts the held-out text by its own tokenizer, so every data set will do; perplexities of models with different
tokenizers cannot be compared, nor those of language models with those of encoders, which are of hidden tokens. A
classifier takes a data set of its own classes. Prints JSON and leaves it as evaluation.json in --output_dir, if one is
given.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from data import catalog
from experiments.central import classifier_evaluation
from experiments.central import image_evaluation
from experiments.central import text_evaluation
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import launch
from experiments.command import takers
from experiments.results import metrics
from experiments.results import output
from experiments.starts import model_kind

FLAGS = flag_table.FlagTable('evaluate')
FLAGS.string(
  'pretrained',
  None,
  'Folder of a model: the --output_dir of experiments.pretrain, of a run, or what experiments.export makes of a language '
  'model or a classifier.',
)
FLAGS.string(
  'dataset',
  'docstrings',
  'Whose held-out clients count, as for language_model; for a classifier of texts or images one of its classes.',
)
FLAGS.integer(
  'eval_clients', 0, 'How many of them, the same ones as of a run with this flag; 0 for all.', lower_bound=0
)
FLAGS.string('output_dir', None, 'Folder for evaluation.json.')

_TEXT = (catalog.DATASETS, text_evaluation.evaluate)
_BY_KIND = {
  model_kind.LANGUAGE_MODEL: _TEXT,
  model_kind.ENCODER: _TEXT,
  model_kind.TEXT_CLASSIFIER: (catalog.CLASSIFICATION_DATASETS, classifier_evaluation.evaluate),
  model_kind.IMAGE_MODEL: (catalog.IMAGE_DATASETS, image_evaluation.evaluate),
}


def main(given: Mapping[str, Any]) -> None:
  """Prints what `scored` returns."""
  print(output.json_text(scored(given)), end='')


def scored(given: Mapping[str, Any]) -> dict[str, Any]:
  """Scores what the flags name; returns it, and leaves it in the folder that they name."""
  if not given['pretrained']:
    raise failures.UsageError('--pretrained is missing: name the folder of a model, as --pretrained=runs/pretrained')
  datasets, score = _BY_KIND[model_kind.of(given['pretrained'])]
  source = takers.build_dataset(given['dataset'], datasets)
  output_dir = _folder(given['output_dir'])
  measured = score(given['pretrained'], source, given['eval_clients'])
  named = dict(pretrained=given['pretrained'], dataset=given_objects.recorded(given['dataset']))
  result = metrics.written(named | measured)
  if output_dir:
    output.write_json(output_dir / 'evaluation.json', result)
  return result


def _folder(output_dir: str | None) -> pathlib.Path | None:
  if not output_dir:
    return None
  folder = pathlib.Path(output_dir)
  output.make(folder)
  return folder


if __name__ == '__main__':
  launch.launch(main, FLAGS)
