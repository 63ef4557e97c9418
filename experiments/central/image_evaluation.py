"""Scores a classifier of images in this process, without TFF: the same measures as a run's evaluation."""

import pathlib
from typing import Any

from data import image_source
from data import partitions
from data import population
from data import prepare_images
from experiments.central import evaluation as central_evaluation
from experiments.command import failures
from experiments.starts import pretrained
from models import image_task


def evaluate(folder: str | pathlib.Path, source: image_source.ImageSource, eval_clients: int) -> dict[str, Any]:
  """Scores the model in a folder on held-out images.

  Args:
    folder: Where the model is.
    source: Whose held-out images count; of the same classes and size as those that it was trained on.
    eval_clients: How many of the ten clients that hold them; 0 for all. A run with as many evaluates on the same ones.

  Returns:
    `eval/loss`, `eval/accuracy`, `eval/perplexity`, which is not measured, `num_clients`, `num_examples` and
    `model_sha256`.

  Raises:
    UsageError: If the model is not sound, or names other classes, or images have another shape.
    DataError: If the source is malformed or has no held-out images.
  """
  loaded = pretrained.load(folder)
  described = loaded.description
  if not described.class_names:
    raise failures.UsageError('this model names no classes: experiments.layerwise_ssl says what its features are worth')
  if source.class_names != described.class_names:
    raise failures.UsageError(
      f'this model names {", ".join(described.class_names)}, but --dataset has {", ".join(source.class_names)}: choose '
      'its classes=[...]'
    )
  images = prepare_images.prepare(source, partitions.iid(clients=1))
  if images.image_shape != described.image_shape:
    raise failures.UsageError(
      f'this model takes images of {list(described.image_shape)}, but those of --dataset have '
      f'{list(images.image_shape)}: choose others, or another image_size=...'
    )
  model = pretrained.build_model(described)
  ids = population.evaluation_ids(images.client_ids('heldout'), eval_clients)
  examples = images.arrays('heldout', ids)
  evaluation = central_evaluation.Evaluation(image_task.build(model, images.image_shape))
  return {
    **evaluation(pretrained.weights_of(loaded, model), examples),
    'num_clients': len(ids),
    'num_examples': central_evaluation.num_examples(examples),
    'model_sha256': loaded.content_hash,
  }
