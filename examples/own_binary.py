"""A binary of one's own: it trains a classifier of images on clients, from random weights.

Question: how well do clients learn to tell images apart that none of them sends?

    python -m examples.own_binary --output_dir=runs/own_binary
    python -m examples.own_binary --trainable='random(fraction=0.5)' --upload='uniform(bits=8)' --output_dir=runs/own_efficient
"""

from collections.abc import Mapping
from typing import Any

from data import catalog as data_catalog
from data import prepare_images
from experiments.central import image_examples
from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.federated import run_setup
from experiments.results import quality
from experiments.results import report
from models import catalog as models_catalog
from models import image_task

FLAGS = run_flags.take(
  'own_binary',
  without={'pretrained': 'clients begin with random weights'},
  dataset=('digits', 'Images with classes: digits, which needs no download, cifar10, cifar100, images.'),
  partition=('iid(clients=10)', None),
  model=('vit(width=32, mlp_width=64, num_layers=2, num_heads=2, patch_size=2)', 'vit or resnet, and its dimensions.'),
  algorithm=('local_adam(client_lr=0.002)', None),
  clients_per_round=(0, 'Clients drawn in each round; 0 for all.'),
  rounds=(20, None),
)


def main(given: Mapping[str, Any]) -> None:
  """Builds what the flags name, trains it and reports."""
  setup = run_setup.read(given)
  source, partition = setup.dataset(data_catalog.IMAGE_DATASETS)
  encoder = setup.model(models_catalog.VISION_MODELS)
  images = prepare_images.prepare(source, partition)
  task = image_task.build(setup.adapt(image_examples.classifier(encoder, images)), images.image_shape)
  population = setup.population(images)
  setup = setup.among(population)
  summary = run.run(task, setup.process(task), population, setup.config)
  report.conclude(summary, setup.config.output_dir, setup.measure(quality.ACCURACY), setup.measure(quality.LOSS))


if __name__ == '__main__':
  launch.launch(main, FLAGS)
