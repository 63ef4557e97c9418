"""A plug-in that adds a name to every table: thin variants of the suite's builders, and one of each that it has no class for."""

from collections.abc import Callable
import dataclasses
import json
from typing import Any

import tensorflow as tf

from compression import rate_distortion
from compression import stage
from compression.privacy import kinds
from compression.privacy import plans
from data import image_source
from data import partitions
from data import source
from data.sources import digits
from data.sources import spooky
from data.sources import text
from experiments.limits import methods
from experiments.limits import model_family
from experiments.loggers import logger
from experiments.workers import runtimes
from models import encoder
from models import lstm
from models import simclr
from models import vit
from optimizers import algorithms
from optimizers import client_dropout
from optimizers import fed_opt
from optimizers import policies
from optimizers import schedules
from optimizers import stages


class Negated(stage.Stage):
  """Sends every value with the other sign."""

  def form(self, form: stage.Form) -> stage.Form:
    """As many values."""
    return form

  def encode(self, x, form, client_seed, shared_seed):
    """Returns the values, negated."""
    return -x, ()

  def decode(self, x, side, form, shared_seed):
    """Returns the values."""
    return -x


@dataclasses.dataclass(frozen=True)
class Coarse(rate_distortion.RateDistortion):
  """Rate-distortion that begins with a large step.

  Attributes:
    initial_step: Step of the first round.
  """

  initial_step: float = 0.01


@dataclasses.dataclass(frozen=True)
class Top(policies.Suffix):
  """Trains the last blocks.

  Attributes:
    blocks: How many.
  """

  blocks: int = 1


def small_lstm(width: int = 8) -> Callable[[int], Any]:
  """Configures an LSTM.

  Args:
    width: Units.
  """
  return lstm.lstm(width=width, num_cells=8)


# A family of its own, so that a checkpoint names it.
_FAMILY = dataclasses.replace(encoder.BERT, name='small_bert', activation='gelu_new')


def small_bert(
  width: int = 8, mlp_width: int = 16, num_layers: int = 2, num_heads: int = 2, max_length: int = 12
) -> encoder.Encoder:
  """Configures a BERT.

  Args:
    width: Units.
    mlp_width: Units of an MLP.
    num_layers: Layers.
    num_heads: Heads.
    max_length: Positions.
  """
  return encoder.Encoder(_FAMILY, width, mlp_width, num_layers, num_heads, max_length, width, 'gelu_new', 0.1)


def thin_bert(num_layers: int = 2) -> encoder.Encoder:
  """Configures a BERT of the suite's family, which teaches.

  Args:
    num_layers: Layers.
  """
  return dataclasses.replace(small_bert(num_layers=num_layers), family=encoder.BERT)


def thin_distilbert(num_layers: int = 1) -> encoder.Encoder:
  """Configures a DistilBERT, which learns from that.

  Args:
    num_layers: Layers.
  """
  return dataclasses.replace(small_bert(num_layers=num_layers), family=encoder.DISTILBERT)


def small_vit(num_layers: int = 2) -> vit.VisionTransformer:
  """Configures a Vision Transformer.

  Args:
    num_layers: Layers.
  """
  return vit.vit(width=8, mlp_width=16, num_layers=num_layers, num_heads=2, patch_size=4)


def warm_simclr(temperature: float = 0.5) -> simclr.SimCLR:
  """Configures SimCLR.

  Args:
    temperature: Divides similarities.
  """
  return simclr.simclr(temperature=temperature, width=6, outputs=4)


def slow_avg(client_lr: float = 0.1, client_schedule: Any = schedules.CONSTANT) -> algorithms.Algorithm:
  """Configures federated averaging.

  Args:
    client_lr: The clients' rate.
    client_schedule: How it changes.
  """
  return fed_opt.fed_avg(client_lr=client_lr, client_schedule=client_schedule)


def halved() -> schedules.Schedule:
  """Returns half of the rate in all rounds."""
  return schedules.Schedule(lambda rounds: 0.5 * tf.ones_like(rounds))


def rarely(rate: float = 0.01) -> client_dropout.ClientDropout:
  """Configures clients that rarely vanish.

  Args:
    rate: The probability.
  """
  return client_dropout.ClientDropout(rate)


def coins(noise_multiplier: float = 0.01) -> plans.Privacy:
  """Configures noise whose clip and delta are these.

  Args:
    noise_multiplier: Its standard deviation, in clips.
  """
  return kinds.Gaussian(0.3, noise_multiplier=noise_multiplier, delta=1e-5)


def notes(path: str | None = None, sequence_length: int = 8) -> source.TextSource:
  """Reads text.

  Args:
    path: The folder.
    sequence_length: Positions.
  """
  return dataclasses.replace(text.text(path, 'characters', sequence_length), name='notes')


def authors(path: str | None = None) -> source.LabelledSource:
  """Reads authors.

  Args:
    path: The file.
  """
  return dataclasses.replace(spooky.spooky(path, sequence_length=8), name='authors')


def few_digits(num: int = 2) -> image_source.ImageSource:
  """Reads some digits.

  Args:
    num: How many classes.
  """
  return dataclasses.replace(digits.digits(classes=list(range(num)), max_examples=40), name='few_digits')


def shallow(recipes: str | None = None) -> model_family.ModelFamily:
  """Configures a family of models.

  Args:
    recipes: The folder of their recipes.
  """
  return model_family.transformer(recipes=recipes)


def last_blocks(drop: bool = False) -> methods.Method:
  """Trains a suffix by a policy of this plug-in.

  Args:
    drop: Whether devices are left out.
  """
  return dataclasses.replace(methods.caff(drop), policy='top')


def at_once() -> stages.Growth:
  """Grows in one stage."""
  return stages.end_to_end()


def noted(file: str | None = None) -> logger.Logger:
  """Writes rows to a file.

  Args:
    file: The file.
  """

  def note(row: dict[str, Any]) -> None:
    with open(file, 'a', encoding='utf-8') as notes:
      notes.write(json.dumps(row) + '\n')

  return logger.each_row(note)


def here() -> runtimes.StartRuntime:
  """Computes on this machine."""
  return runtimes.start_worker


def fours() -> partitions.Partition:
  """Deals examples to four clients."""
  return dataclasses.replace(partitions.iid(clients=4), fingerprint='fours()')


STAGES = {'negated': Negated}
ADAPTIVE = {'coarse': Coarse}
LANGUAGE_MODELS = {'small_lstm': small_lstm}
ENCODERS = {'small_bert': small_bert, 'thin_bert': thin_bert, 'thin_distilbert': thin_distilbert}
VISION_MODELS = {'small_vit': small_vit}
OBJECTIVES = {'warm_simclr': warm_simclr}
ALGORITHMS = {'slow_avg': slow_avg}
SCHEDULES = {'halved': halved}
POLICIES = {'top': Top}
METHODS = {'last_blocks': last_blocks}
FAMILIES = {'shallow': shallow}
GROWTHS = {'at_once': at_once}
LOGGERS = {'noted': noted}
RUNTIMES = {'here': here}
CLIENT_DROPOUTS = {'rarely': rarely}
PRIVACIES = {'coins': coins}
DATASETS = {'notes': notes}
CLASSIFICATION_DATASETS = {'authors': authors}
IMAGE_DATASETS = {'few_digits': few_digits}
PARTITIONS = {'fours': fours}
