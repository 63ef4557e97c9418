"""A model on disk comes back as it was, whole or not at all, and a broken one is refused in one line."""

import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from models import checkpoint

_ROOT = pathlib.Path(__file__).parents[2]
_DESCRIPTION = checkpoint.Description('lstm(width=8)', 60, 12, b'a tokenizer', trainable='lora(rank=2)')
_WEIGHTS = {
  'embedding/table': np.arange(6, dtype=np.float32).reshape(3, 2),
  'block_0/kernel': np.full([2, 2], 0.1, np.float32).T,
  'head/bias': np.float32(-3.5),
}

# Saves zeros over a model, and is killed by SIGKILL where the new file would get its name.
_KILLED = """
import os, pathlib, signal, sys
import numpy as np
from data import cache
from models import checkpoint

cache.publish = lambda path, final: path.name.startswith('model') and os.kill(os.getpid(), signal.SIGKILL)
description = checkpoint.Description('lstm(width=8)', 60, 12, b'a tokenizer')
checkpoint.save(pathlib.Path(sys.argv[1]), {'head/bias': np.zeros([3], np.float32)}, description, 8)
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  checkpoint.save(tmp_path, _WEIGHTS, _DESCRIPTION, 7)
  return tmp_path


def _assert_is_original(folder: pathlib.Path) -> None:
  loaded = checkpoint.load(folder)
  assert loaded.description == _DESCRIPTION
  assert loaded.steps == 7
  assert list(loaded.weights) and set(loaded.weights) == set(_WEIGHTS)
  for name, value in _WEIGHTS.items():
    assert loaded.weights[name].dtype == np.float32
    np.testing.assert_array_equal(loaded.weights[name], value)
    assert loaded.weights[name].shape == np.shape(value)


def test_comes_back_as_it_was(folder):
  _assert_is_original(folder)
  assert {path.name for path in folder.iterdir()} == {'model.safetensors', 'tokenizer.model'}
  assert set(safetensors_numpy.load_file(folder / 'model.safetensors')) == set(_WEIGHTS)


def test_the_content_hash_names_weights_and_description(folder, tmp_path):
  before = checkpoint.load(folder).content_hash
  checkpoint.save(folder, _WEIGHTS, _DESCRIPTION, 7)
  assert checkpoint.load(folder).content_hash == before
  checkpoint.save(folder, _WEIGHTS | {'head/bias': np.float32(-3.25)}, _DESCRIPTION, 7)
  assert checkpoint.load(folder).content_hash != before


def test_a_write_that_is_killed_leaves_the_old_model(folder):
  killed = subprocess.run([sys.executable, '-c', _KILLED, str(folder)], cwd=_ROOT, check=False)
  assert killed.returncode == -signal.SIGKILL
  _assert_is_original(folder)


@pytest.mark.parametrize('fraction', [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(folder, fraction):
  path = folder / 'model.safetensors'
  content = path.read_bytes()
  path.write_bytes(content[: int(len(content) * fraction)])
  with pytest.raises(ValueError, match=r"model.safetensors' is truncated or no safetensors file .* again$") as error:
    checkpoint.load(folder)
  assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('content', [b'PK\x03\x04 something else', b'\x00' * 100, b'\xff' * 100, b'{"a": 1}'])
def test_a_file_of_something_else_is_refused(folder, content):
  (folder / 'model.safetensors').write_bytes(content)
  with pytest.raises(ValueError, match='is truncated or no safetensors file'):
    checkpoint.load(folder)


@pytest.mark.parametrize(
  ('value', 'said'),
  [
    (np.array([1.0, np.nan], np.float32), 'head/bias holds NaN or infinity: make it again or name'),
    (np.array([1.0, -np.inf], np.float32), 'head/bias holds NaN or infinity'),
    (np.array([1.0, np.inf], np.float16), 'head/bias holds NaN or infinity'),
    (np.array([1.0], np.float64), 'head/bias is of type float64, not float32, float16 or bfloat16'),
    (np.array([1]), 'head/bias is of type int64'),
  ],
)
def test_weights_that_are_no_weights_are_refused(folder, value, said):
  checkpoint.save(folder, {'head/bias': value}, _DESCRIPTION, 7)
  with pytest.raises(ValueError, match=said):
    checkpoint.load(folder)


@pytest.mark.parametrize('metadata', [{}, {'format': 'pt'}, {'model': 'lstm', 'vocabulary_size': 'many'}])
def test_weights_without_a_description_are_refused(folder, metadata):
  checkpoint.save_arrays(folder / 'model.safetensors', _WEIGHTS, metadata)
  with pytest.raises(ValueError, match='does not say what its model is: name the --output_dir of'):
    checkpoint.load(folder)


def test_another_tokenizer_is_refused(folder):
  (folder / 'tokenizer.model').write_bytes(b'another tokenizer')
  with pytest.raises(ValueError, match=r'is not the one of model.safetensors'):
    checkpoint.load(folder)


@pytest.mark.parametrize('name', ['model.safetensors', 'tokenizer.model'])
def test_a_missing_file_is_named(folder, name):
  (folder / name).unlink()
  with pytest.raises(ValueError, match=name):
    checkpoint.load(folder)
