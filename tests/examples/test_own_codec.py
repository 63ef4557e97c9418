"""The example of a scheme outside the suite keeps the laws of the suite's own, and trains."""

import ast
import os

import numpy as np
import tensorflow as tf

from compression import codec
from examples import own_codec
from tests import binaries

_SEED = tf.constant([1, 2], tf.int64)
_SCRIPT = """
import pathlib, sys
from data import catalog
from examples import own_codec
from experiments.federated import run
source = catalog.DATASETS['text'](path=sys.argv[1], vocabulary=60)
config = run.Config(pathlib.Path(sys.argv[2]), rounds=1, clients_per_round=3)
print(own_codec.train(source, config))
"""


def test_bytes_and_error():
  x = tf.constant(np.linspace(-1.0, 1.0, 100), tf.float32)
  own = codec.Codec([own_codec.MaxScaled()])
  payload = own.encode(x, _SEED, _SEED)
  assert int(codec.num_bytes(payload)) == 104  # 100 levels of a byte, and the scale.
  assert np.abs(own.decode(payload, tf.TensorSpec([100]), _SEED) - x).max() <= 0.5 / 127 + 1e-6


def test_trains(tmp_path):
  for client in 'abcdef':
    (tmp_path / 'text' / client).mkdir(parents=True)
    (tmp_path / 'text' / client / 'x.txt').write_text('A cat sat on a mat.\nA dog ran into a house.\n')
  (tmp_path / 'script.py').write_text(_SCRIPT)
  process = binaries.run(
    str(tmp_path / 'script.py'),
    [str(tmp_path / 'text'), str(tmp_path / 'run')],
    os.environ | {'LEANFED_CACHE': str(tmp_path / 'cache')},
  )
  assert process.returncode == 0, process.stderr
  summary = ast.literal_eval(process.stdout)
  # The 7 variables of the LSTM: a byte a parameter and a scale each; a byte of presence bits and 4 of weight a client.
  assert summary['upload_bytes_total'] == 3 * (summary['num_parameters'] + 7 * 4 + 1 + 4)
