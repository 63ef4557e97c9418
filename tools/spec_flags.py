"""Which flag of which binary takes which catalogue: what help at the prompt and the reference are made from."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

from compression import catalog as compression_catalog
from compression.privacy import catalog as privacy_catalog
from compression.secure_sums import catalog as secure_catalog
from data import catalog as data_catalog
from experiments.command import algorithm_specs
from experiments.command import builder_docs
from experiments.command import codec_specs
from experiments.limits import methods
from experiments.limits import model_family
from experiments.loggers import catalog as logger_catalog
from experiments.stages import subjects
from experiments.workers import runtimes
from models import catalog as models_catalog
from optimizers import catalog as optimizers_catalog
from optimizers import policies
from optimizers import selection
from optimizers import stages


@dataclasses.dataclass(frozen=True)
class Catalogue:
  """Names that a spec may have.

  Attributes:
    title: What they are.
    builders: By name.
    page: The page of the reference on which they are.
  """

  title: str
  builders: Mapping[str, Callable[..., Any]]
  page: str

  def entries(self) -> dict[str, builder_docs.Entry]:
    """Returns what each builder says of itself."""
    return {name: builder_docs.entry(builder, algorithm_specs.describe) for name, builder in self.builders.items()}


def _alike() -> None:
  """Makes all clients alike: each trains what --trainable says."""


def _tiers(shares: list[float], **arguments: list) -> None:
  """Makes tiers of clients that differ in an argument of --trainable; a client stays in its tier.

  Args:
    shares: Fraction of the clients in each tier; they add up to 1.
    arguments: Arguments of --trainable, each a list with a value for each tier, such as fraction=[0.2, 0.6].
  """


def _rounds(shares: list[float], **arguments: list) -> None:
  """Makes rounds that differ in an argument of --trainable, the same for all clients of a round, drawn by the server.

  Args:
    shares: Fraction of the rounds of each tier; they add up to 1.
    arguments: Arguments of --trainable, each a list with a value for each tier, such as rank=[1, 2, 4, 8].
  """


def _limited_tiers(
  shares: list[float],
  memory_mb: list[float] | None = None,
  upload_mb: list[float] | None = None,
  gflops: list[float] | None = None,
) -> None:
  """Makes tiers of devices with limits on the round of the client with the most examples.

  Args:
    shares: Fraction of the clients in each tier; they add up to 1.
    memory_mb: Megabytes at the peak of a local step, for each tier; None = no limit.
    upload_mb: Megabytes that a client sends in a round, for each tier; None = no limit.
    gflops: Billions of floating-point operations of a client in a round, for each tier; None = no limit.
  """


_LINKS = {name: link for name, link in codec_specs.LINKS.items() if name not in compression_catalog.ADAPTIVE}

CATALOGUES = {
  'text': Catalogue('Running text by client', data_catalog.DATASETS, 'data'),
  'labelled_text': Catalogue('Texts with classes', data_catalog.CLASSIFICATION_DATASETS, 'data'),
  'images': Catalogue('Images with classes', data_catalog.IMAGE_DATASETS, 'data'),
  'partitions': Catalogue('Partitions: who holds which training example', data_catalog.PARTITIONS, 'data'),
  'language_models': Catalogue('Language models', models_catalog.LANGUAGE_MODELS, 'models'),
  'encoders': Catalogue('Encoders of texts', models_catalog.ENCODERS, 'models'),
  'vision_models': Catalogue('Models of images', models_catalog.VISION_MODELS, 'models'),
  'families': Catalogue('Families of pre-trained models that differ in depth', model_family.FAMILIES, 'models'),
  'algorithms': Catalogue('Algorithms: who optimizes how', optimizers_catalog.ALGORITHMS, 'algorithms'),
  'schedules': Catalogue(
    'Schedules, for client_schedule and server_schedule', optimizers_catalog.SCHEDULES, 'algorithms'
  ),
  'objectives': Catalogue('Objectives for images without labels', models_catalog.OBJECTIVES, 'self_supervision'),
  'text_objectives': Catalogue(
    'Objectives for texts without labels', subjects.TEXT.catalogues['objective'], 'self_supervision'
  ),
  'growths': Catalogue('Growths: how the encoder grows, in stages', stages.GROWTHS, 'self_supervision'),
  'policies': Catalogue('Policies: which part of the model a client trains', optimizers_catalog.POLICIES, 'clients'),
  'stage_policies': Catalogue('Policies of a stage', {'layerwise': policies.Layerwise}, 'clients'),
  'methods': Catalogue('Methods: what devices train within their limits', methods.METHODS, 'clients'),
  'devices': Catalogue('Devices', {'alike': _alike, 'tiers': _tiers, 'rounds': _rounds}, 'clients'),
  'limits': Catalogue('Devices with limits', {'tiers': _limited_tiers}, 'clients'),
  'client_dropouts': Catalogue(
    'Clients that vanish once they have received the model', optimizers_catalog.CLIENT_DROPOUTS, 'clients'
  ),
  'privacies': Catalogue('Privacy of clients', privacy_catalog.PRIVACIES, 'clients'),
  'secure_sums': Catalogue('Secure sums', secure_catalog.SECURE_SUMS, 'clients'),
  'links': Catalogue("Links of a chain, joined by '|'", _LINKS, 'codecs'),
  'adaptive': Catalogue('Whole codecs, which stand alone', compression_catalog.ADAPTIVE, 'codecs'),
  'selection': Catalogue('Federated select, which stands alone', {'select': selection.Selection}, 'codecs'),
  'runtimes': Catalogue('Runtimes: where to compute', runtimes.RUNTIMES, 'runtimes'),
  'loggers': Catalogue('Loggers: who is told the rows of a run', logger_catalog.LOGGERS, 'runtimes'),
}

_ALGORITHM = ('algorithms', 'schedules')
_EVERY_RUN = dict(
  partition=('partitions',),
  algorithm=_ALGORITHM,
  client_dropout=('client_dropouts',),
  upload=('links', 'adaptive'),
  download=('links',),
  runtime=('runtimes',),
  log_to=('loggers',),
)
_PLAIN_RUN = _EVERY_RUN | dict(
  privacy=('privacies',),
  secure_sum=('secure_sums',),
  trainable=('policies',),
  devices=('devices',),
  download=('links', 'selection'),
)

# By binary and flag, the keys of its catalogues.
FLAGS: Mapping[str, Mapping[str, tuple[str, ...]]] = dict(
  language_model=_PLAIN_RUN | dict(dataset=('text',), model=('language_models',)),
  text_classification=_PLAIN_RUN | dict(dataset=('labelled_text',), model=('encoders',)),
  constrained_finetuning=_EVERY_RUN
  | dict(
    privacy=('privacies',),
    secure_sum=('secure_sums',),
    dataset=('text', 'images'),
    model=('families',),
    trainable=('methods',),
    devices=('limits',),
  ),
  layerwise_ssl=_EVERY_RUN
  | dict(
    dataset=('images', 'labelled_text'),
    model=('vision_models', 'encoders'),
    objective=('objectives', 'text_objectives'),
    stages=('growths',),
    vocabulary=('text',),
  ),
  pretrain=dict(
    dataset=('text', 'images'),
    corpus=('text',),
    model=('language_models', 'encoders', 'vision_models'),
    log_to=('loggers',),
  ),
  evaluate=dict(dataset=('text', 'labelled_text', 'images')),
  privacy=dict(privacy=('privacies',), upload=('links',)),
  client_cost=dict(
    model=('language_models', 'vision_models'),
    policies=('policies', 'stage_policies'),
    objective=('objectives',),
    algorithm=_ALGORITHM,
    upload=('links',),
  ),
)
