"""The catalogues that plug-ins add to, by the name of the table in a plug-in."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple


class Table(NamedTuple):
  """A catalogue that plug-ins add to.

  Attributes:
    builders: The catalogue itself.
    flag_takes: What a flag that takes it is said to take: names must differ among all tables of one such kind.
    key: Its name in `specs.json`.
    makes: What a builder returns.
    besides: Names that such a flag takes besides catalogues.
    made_makes: What that makes, if it is a function of a vocabulary size.
  """

  builders: dict[str, Callable[..., Any]]
  flag_takes: str
  key: str
  makes: type
  besides: tuple[str, ...] = ()
  made_makes: type | None = None


# Of wings that this one knows nothing of: a binary that does not import them has no flag that takes their names.
OF_WINGS = ('FAMILIES', 'LOGGERS', 'METHODS', 'RUNTIMES')
_of_wings: dict[str, Table] = {}


def add(name: str, table: Table) -> None:
  """Lets plug-ins add to a catalogue of another wing, whose table is one of `OF_WINGS`."""
  assert name in OF_WINGS, name
  _of_wings[name] = table


def tables() -> dict[str, Table]:
  """Returns the catalogues that plug-ins add to, by the name of the table."""
  # Importing them takes seconds, and most processes have no plug-in.
  from compression import adaptive
  from compression import catalog as compression
  from compression import stage
  from compression.privacy import catalog as privacy
  from compression.privacy import plans
  from data import catalog as data
  from data import image_source
  from data import partitions
  from data import source
  from models import catalog as models
  from models import encoder
  from models import image_encoder
  from models import model
  from models import self_supervised_task
  from optimizers import algorithms
  from optimizers import catalog as optimizers
  from optimizers import client_dropout
  from optimizers import schedules
  from optimizers import stages
  from optimizers import trainable

  links = ('identity', 'concat', 'small_as', 'select', *compression.WRAPPED)
  dropouts, texts = optimizers.CLIENT_DROPOUTS, data.CLASSIFICATION_DATASETS
  return dict(
    STAGES=Table(compression.STAGES, 'codecs', 'links', stage.Stage, links),
    ADAPTIVE=Table(compression.ADAPTIVE, 'codecs', 'adaptive', adaptive.AdaptiveCodec, links),
    LANGUAGE_MODELS=Table(models.LANGUAGE_MODELS, 'models', 'language_models', Callable, made_makes=model.Model),
    ENCODERS=Table(models.ENCODERS, 'models', 'encoders', encoder.Encoder),
    VISION_MODELS=Table(models.VISION_MODELS, 'models', 'vision_models', image_encoder.ImageEncoder),
    OBJECTIVES=Table(
      models.OBJECTIVES, 'objectives', 'objectives', self_supervised_task.Objective, ('masked_language',)
    ),
    ALGORITHMS=Table(optimizers.ALGORITHMS, 'algorithms', 'algorithms', algorithms.Algorithm),
    SCHEDULES=Table(optimizers.SCHEDULES, 'schedules', 'schedules', schedules.Schedule),
    POLICIES=Table(optimizers.POLICIES, 'policies', 'policies', trainable.Policy, ('layerwise',)),
    GROWTHS=Table(stages.GROWTHS, 'growths', 'growths', stages.Growth),
    CLIENT_DROPOUTS=Table(dropouts, 'client dropouts', 'client_dropouts', client_dropout.ClientDropout),
    PRIVACIES=Table(privacy.PRIVACIES, 'kinds of privacy', 'privacies', plans.Privacy),
    DATASETS=Table(data.DATASETS, 'data sets', 'text', source.TextSource),
    CLASSIFICATION_DATASETS=Table(texts, 'data sets', 'labelled_text', source.LabelledSource),
    IMAGE_DATASETS=Table(data.IMAGE_DATASETS, 'data sets', 'images', image_source.ImageSource),
    PARTITIONS=Table(data.PARTITIONS, 'partitions', 'partitions', partitions.Partition),
    **_of_wings,
  )
