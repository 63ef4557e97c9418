"""Fixtures of the tests that start the language-model binary: small text, and an environment with a cache of its own."""

import pathlib

import pytest

from tests import language_model_runs


@pytest.fixture(scope='module')
def text(tmp_path_factory) -> pathlib.Path:
  return language_model_runs.write_text(tmp_path_factory.mktemp('text'))


@pytest.fixture(scope='module')
def environment(tmp_path_factory) -> dict[str, str]:
  return language_model_runs.environment(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='module')
def given(text):
  """What makes a run small."""
  return dict(
    dataset=f'text(path={str(text)!r}, vocabulary=60)',
    model='lstm(width=8, num_cells=8)',
    rounds=2,
    clients_per_round=5,
    rounds_per_eval=1,
  )
