"""Every number of 16 bits is read as the float32 that it stands for."""

import json
import struct

import numpy as np
import pytest
import tensorflow as tf

from models import checkpoint

_ALL = np.arange(2**16, dtype=np.uint16)


def _write(path, **tensors):
  """Writes bytes as safetensors: for each name, the type, the shape and the content."""
  header, content = {}, b''
  for name, (kind, shape, value) in tensors.items():
    header[name] = {'dtype': kind, 'shape': shape, 'data_offsets': [len(content), len(content) + len(value)]}
    content += value
  described = json.dumps(header).encode()
  path.write_bytes(struct.pack('<Q', len(described)) + described + content)
  return path


@pytest.mark.parametrize(('kind', 'dtype'), [('BF16', tf.bfloat16), ('F16', tf.float16)])
def test_all_numbers_are_widened_exactly(kind, dtype, tmp_path):
  path = _write(tmp_path / 'a', before=('F32', [1], bytes(4)), all=(kind, [256, 256], _ALL.tobytes()))
  weights, _ = checkpoint.load_weights(path)
  expected = tf.cast(tf.bitcast(tf.constant(_ALL), dtype), tf.float32).numpy()  # TensorFlow's own widening.
  assert weights['all'].dtype == np.float32 and weights['all'].shape == (256, 256)
  np.testing.assert_array_equal(weights['all'].reshape(-1), expected)


def test_golden_numbers(tmp_path):
  # bfloat16: 8 bits of exponent (bias 127), 7 of fraction; float16: 5 (bias 15) and 10.
  brief = {0x3F80: 1.0, 0xC048: -(2 + 9 / 8), 0x0001: 2.0**-133, 0x7F7F: 255 * 2.0**120}
  half = {0x3C00: 1.0, 0xC240: -(2 + 9 / 8), 0x0001: 2.0**-24, 0x7BFF: 65504.0}
  for kind, numbers in (('BF16', brief), ('F16', half)):
    content = np.array(list(numbers), '<u2').tobytes()
    weights, _ = checkpoint.load_weights(_write(tmp_path / kind, a=(kind, [4], content), b=(kind, [], content[:2])))
    assert weights['a'].tolist() == list(numbers.values())
    assert weights['b'].shape == () and weights['b'] == 1.0
    assert all(checkpoint.fault(value) is None for value in weights.values())


@pytest.mark.parametrize(('kind', 'bits'), [('BF16', 0x7F80), ('BF16', 0x7FC0), ('F16', 0x7C00), ('F16', 0xFE00)])
def test_what_is_not_finite_stays_so(kind, bits, tmp_path):
  weights, _ = checkpoint.load_weights(_write(tmp_path / 'a', a=(kind, [2], struct.pack('<HH', 0, bits))))
  assert checkpoint.fault(weights['a']) == 'holds NaN or infinity'


@pytest.mark.parametrize('kind', ['F8_E4M3', 'F8_E5M2'])
def test_numbers_of_eight_bits_are_refused(kind, tmp_path):
  with pytest.raises(
    ValueError, match=r'holds numbers of a type that is not read .*float8.*: save it as float32'
  ) as caught:
    checkpoint.load_weights(_write(tmp_path / 'a', a=(kind, [2], b'ab')))
  assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('length', [2**63, 2**40, 10**8 + 1, 10**8, 3])
def test_a_header_of_any_length_is_read_or_refused_in_one_line(length, tmp_path):
  path = tmp_path / 'a'
  path.write_bytes(struct.pack('<Q', length) + b'{}')
  with pytest.raises(ValueError, match='is truncated or no safetensors file') as caught:
    checkpoint.load_weights(path)
  assert len(str(caught.value).splitlines()) == 1


def test_offsets_that_lie_are_refused(tmp_path):
  header = json.dumps({'a': {'dtype': 'BF16', 'shape': [4], 'data_offsets': [0, 4]}}).encode()
  (tmp_path / 'a').write_bytes(struct.pack('<Q', len(header)) + header + bytes(4))
  with pytest.raises(ValueError, match='is truncated or no safetensors file'):
    checkpoint.load_weights(tmp_path / 'a')
