"""The two subjects in which clients train an encoder without labels: images and texts.

A subject knows which data sets, encoders and objectives go together; a lesson is what they make of prepared examples.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import types
from typing import Any
from typing import Generic
from typing import TypeVar

from data import catalog as data_catalog
from data import image_source
from data import labelled_images
from data import labelled_text
from data import partitions
from data import prepare
from data import prepare_images
from data import prepare_labelled
from data import prepared_examples
from data import sentencepieces
from data import source as source_lib
from experiments.central import task as pretraining_task
from experiments.command import failures
from experiments.command import given_objects
from experiments.command import spec
from experiments.command import takers
from experiments.stages import lessons
from models import catalog
from models import encoder as encoder_lib
from models import image_encoder
from models import self_supervised_task
from models import task as task_lib

_Encoder = TypeVar('_Encoder', bound=lessons.AnyEncoder)
_Source = TypeVar('_Source', bound=source_lib.Source)


@dataclasses.dataclass(frozen=True)
class Subject(Generic[_Encoder, _Source]):
  """Which data sets, encoders and objectives go together.

  Attributes:
    name: What the examples are.
    catalogues: What the flags `dataset`, `model` and `objective` may name.
    check: Raises `UsageError` for an encoder that cannot grow, or cannot take the examples of a source.
    prepare: From source, partition and the value of `--vocabulary` to the examples; raises `UsageError`, `SpecError` or
      `DataError` if they do not fit.
    lesson: Made from encoder, objective and examples.
    objective: What builders of objectives return.
  """

  name: str
  catalogues: Mapping[str, Mapping[str, Callable[..., Any]]]
  check: Callable[[_Encoder, _Source], None]
  prepare: Callable[[_Source, partitions.Partition, str | None], prepared_examples.PreparedExamples]
  lesson: type[lessons.Lesson[_Encoder, Any]]
  objective: type

  def build(self, flag: str, text: Any) -> Any:
    """Builds what a flag of `catalogues` names; raises `SpecError`, or `UsageError` for what another subject has."""
    own = self.catalogues[flag]
    if given_objects.is_one(text):
      return takers.build_model(text, own) if flag == 'model' else spec.checked(text, self.objective, flag)
    name = spec.parse(text)[0].name
    for other in (IMAGES, TEXT):
      if name not in own and name in other.catalogues[flag]:
        raise failures.UsageError(
          f'--{flag}={text} is for {other.name}, but --dataset has {self.name}: choose {", ".join(own)}, or a --dataset '
          f'of {other.name}: {", ".join(other.catalogues["dataset"])}'
        )
    return spec.build(text, own, flag)


# The defaults of flags that depend on what --dataset holds: of images, of texts.
_DEFAULTS = dict(
  model=(
    'vit(width=64, mlp_width=128, num_layers=3, num_heads=4, patch_size=2)',
    'bert(width=64, mlp_width=256, num_layers=4, num_heads=4)',
  ),
  objective=('simclr(flip=False, min_area=0.4)', 'masked_language'),
  vocabulary=(None, 'docstrings'),
  algorithm=('fed_avg(client_lr=0.3)', 'local_adam(client_lr=0.002)'),
  clients_per_round=(3, 0),
  local_epochs=(10, 2),
  rounds=(45, 60),
)


def defaults(dataset: Any) -> dict[str, str | int | None]:
  """Returns the defaults of the flags that depend on the data set that `--dataset` names."""
  column = (IMAGES, TEXT).index(of(dataset))
  return {flag: values[column] for flag, values in _DEFAULTS.items()}


def of(dataset: Any) -> Subject:
  """Returns the subject of a data set, as `--dataset` names it, or a script gives it."""
  if given_objects.is_one(dataset):
    return TEXT if isinstance(dataset, source_lib.LabelledSource) else IMAGES
  return TEXT if spec.parse(dataset)[0].name in TEXT.catalogues['dataset'] else IMAGES


def masked_language() -> Callable[..., task_lib.Task]:
  """Configures prediction of tokens that are hidden at random."""
  return pretraining_task.build


def _prepare_images(
  source: image_source.ImageSource, partition: partitions.Partition, vocabulary: str | None
) -> labelled_images.LabelledImages:
  if vocabulary:
    said = given_objects.shown(given_objects.recorded(vocabulary))
    raise failures.UsageError(f'--vocabulary={said} is for texts, but --dataset has images: leave it out')
  return prepare_images.prepare(source, partition)


def _check_encoder(encoder: encoder_lib.Encoder, source: source_lib.LabelledSource) -> None:
  if encoder.family.shares_block:
    raise failures.UsageError(
      f'{encoder.family.name} has one block for all its layers, so that it cannot grow: choose --model=bert or distilbert'
    )
  if source.sequence_length > encoder.max_length:
    raise failures.UsageError(
      f'sequence_length={source.sequence_length} of --dataset is more than the {encoder.max_length} positions of '
      '--model: lower it, or raise max_length'
    )


def _prepare_text(
  source: source_lib.LabelledSource, partition: partitions.Partition, vocabulary: str
) -> labelled_text.LabelledText:
  prepare_labelled.check_partition(source, partition)  # Before the vocabulary takes its time.
  cut = prepare.prepare(takers.build_dataset(vocabulary, data_catalog.DATASETS, 'vocabulary'), partitions.natural())
  return prepare_labelled.prepare(source, partition, sentencepieces.OwnPieces(cut.tokenizer))


IMAGES = Subject[image_encoder.ImageEncoder, image_source.ImageSource](
  name='images',
  catalogues=dict(dataset=data_catalog.IMAGE_DATASETS, model=catalog.VISION_MODELS, objective=catalog.OBJECTIVES),
  check=lambda encoder, source: None,
  prepare=_prepare_images,
  lesson=lessons.ImageLesson,
  objective=self_supervised_task.Objective,
)

TEXT = Subject[encoder_lib.Encoder, source_lib.LabelledSource](
  name='texts',
  catalogues=dict(
    dataset=data_catalog.CLASSIFICATION_DATASETS,
    model=catalog.ENCODERS,
    objective=dict(masked_language=masked_language),
  ),
  check=_check_encoder,
  prepare=_prepare_text,
  lesson=lessons.TextLesson,
  objective=types.FunctionType,
)

# As they are when a spec is built, since plug-ins add to them.
DATASETS = collections.ChainMap(TEXT.catalogues['dataset'], IMAGES.catalogues['dataset'])
