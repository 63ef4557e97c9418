"""Weights that are stored in 16 bits, as the float32 numbers that they stand for: each has one, so nothing is rounded.

bfloat16 is the upper half of a float32; NumPy has no such type, so the bytes are read here.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import pathlib

import numpy as np

BFLOAT16 = 'BF16'  # As safetensors calls it.
_LENGTH_BYTES = 8  # In which the file says how long its header is.


def read_bfloat16(path: pathlib.Path, names: Sequence[str]) -> dict[str, np.ndarray]:
  """Reads tensors of a sound safetensors file that are stored as bfloat16.

  Args:
    path: Where the file is.
    names: The tensors' names.

  Returns:
    float32 arrays by name.
  """
  with path.open('rb') as file:
    header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
    header = json.loads(file.read(header_bytes))
  start, arrays = _LENGTH_BYTES + header_bytes, {}
  for name in names:
    begin, end = header[name]['data_offsets']
    bits = np.fromfile(path, '<u2', (end - begin) // 2, offset=start + begin).astype(np.uint32)
    arrays[name] = (bits << 16).view(np.float32).reshape(header[name]['shape'])
  return arrays


def widened(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns arrays with those of float16 as float32; others stay as they are."""
  return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in arrays.items()}
