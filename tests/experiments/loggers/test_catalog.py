"""What `--log_to` takes, and what is said of a package that is not there."""

import sys

import pytest

from experiments.command import spec
from experiments.loggers import catalog


@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_a_package_that_is_missing_is_one_line_with_the_remedy(name, monkeypatch):
  monkeypatch.setitem(sys.modules, name, None)
  with pytest.raises(
    spec.SpecError, match=rf'^log_to {name}: .*: .venv/bin/pip install --no-deps -r requirements-loggers.txt$'
  ):
    catalog.build(name)


@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_a_folder_of_a_name_is_no_package(name, tmp_path, monkeypatch):
  (tmp_path / name).mkdir()
  monkeypatch.setitem(sys.modules, name, None)  # So that what is imported here leaves with the test.
  del sys.modules[name]
  monkeypatch.setattr(sys, 'path', [str(tmp_path)])
  with pytest.raises(spec.SpecError, match=r'requirements-loggers\.txt'):
    catalog.build(name)


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('tensorboard', "unknown log_to 'tensorboard'.*choose one of none, wandb, mlflow"),
    ('wandb(mode="disabled")', "log_to wandb: mode must be one of offline, online, not 'disabled'"),
    ('wandb(project=3)', 'log_to wandb: project must be a text such as "mine", not 3'),
    ('mlflow(folder="")', 'log_to mlflow: folder must be a text such as "mine", not \'\''),
    ('mlflow(folder="a", server="http://b")', 'log_to mlflow: takes a folder or a server, not both'),
    ('wandb|mlflow', r"'\|' does not apply here"),
  ],
)
def test_what_is_refused(text, said):
  with pytest.raises(spec.SpecError, match=said):
    catalog.build(text)


def test_nobody_is_told_by_default(tmp_path):
  with catalog.build(catalog.NONE)(tmp_path) as on_row:
    on_row({'round': 0})
  assert list(tmp_path.iterdir()) == []
