"""A name that another binary takes is answered with that binary."""

import pathlib

import pytest

from data import catalog as data_catalog
from experiments.command import spec
from experiments.command import takers
from models import catalog as models_catalog

_ROOT = pathlib.Path(__file__).parents[3]
_DATASETS = (data_catalog.DATASETS, data_catalog.CLASSIFICATION_DATASETS, data_catalog.IMAGE_DATASETS)
_MODELS = (models_catalog.LANGUAGE_MODELS, models_catalog.ENCODERS, models_catalog.VISION_MODELS)


@pytest.mark.parametrize(
  ('build', 'name', 'own'),
  [
    (build, name, own)
    for build, catalogues in ((takers.build_dataset, _DATASETS), (takers.build_model, _MODELS))
    for own in catalogues
    for other in catalogues
    for name in other
    if name not in own
  ],
)
def test_a_name_of_another_catalogue_is_answered_with_binaries_that_exist(build, name, own):
  with pytest.raises(spec.SpecError) as raised:
    build(name, own)
  message = str(raised.value)
  assert message.endswith(f'; choose one of {", ".join(own)}')
  binary = message.split('experiments.')[1].split()[0].strip(',;')
  assert (_ROOT / 'experiments' / f'{binary}.py').is_file()
  assert 'did you mean' not in message


def test_a_name_of_two_catalogues_is_answered_with_the_binaries_of_both():
  with pytest.raises(spec.SpecError) as raised:
    takers.build_dataset('leaf', data_catalog.IMAGE_DATASETS)
  assert 'experiments.language_model' in str(raised.value) and 'experiments.text_classification' in str(raised.value)


def test_a_name_that_is_close_to_one_is_still_answered_with_it():
  with pytest.raises(spec.SpecError, match=r"unknown dataset 'docstring' .did you mean 'docstrings'"):
    takers.build_dataset('docstring', data_catalog.DATASETS)
