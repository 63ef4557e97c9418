"""The examples of a central training on images, and the model that fits them."""

from data import labelled_images
from data import population
from experiments.central import training
from experiments.command import spec
from models import image_encoder
from models import model as model_lib


def classifier(encoder: image_encoder.ImageEncoder, images: labelled_images.LabelledImages) -> model_lib.Model:
  """Builds the model for the images of a data set; raises `SpecError` if it cannot take them."""
  try:
    return encoder.classifier(images.image_shape, images.num_classes)
  except ValueError as error:
    raise spec.SpecError(f'--model and --dataset do not fit: {error}') from error


def examples(images: labelled_images.LabelledImages, eval_clients: int) -> training.Examples:
  """Returns the images to learn from, and those of `eval_clients` held-out clients, 0 for all,."""
  ids = population.evaluation_ids(images.client_ids('heldout'), eval_clients)
  return training.Examples(images.arrays('train'), images.arrays('heldout', ids))
