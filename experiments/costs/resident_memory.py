"""Resident memory of this process, so measured that its peak is of what is alive. Linux only."""

from collections.abc import Callable
import ctypes
import gc
import pathlib
from typing import Any

# For a process that is measured: the C library returns what is freed; oneDNN's allocator would keep it.
ENVIRONMENT = {'MALLOC_ARENA_MAX': '1', 'MALLOC_MMAP_THRESHOLD_': '65536', 'TF_ENABLE_ONEDNN_OPTS': '0'}

_STATUS, _CLEAR = pathlib.Path('/proc/self/status'), pathlib.Path('/proc/self/clear_refs')
_RESET_PEAK = '5'  # See proc(5).


def settled_bytes() -> int:
  """Gives back what is free, which would otherwise serve later allocations unseen; returns the resident memory."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  return _resident_bytes('VmRSS')


def peak_bytes(call: Callable[[], Any]) -> int:
  """Returns by how much a call raises the resident memory, at most."""
  before = settled_bytes()
  _CLEAR.write_text(_RESET_PEAK)
  call()
  return _resident_bytes('VmHWM') - before


def _resident_bytes(name: str) -> int:
  """Reads `VmRSS`, or its high-water mark `VmHWM`."""
  fields = dict(line.split(':', 1) for line in _STATUS.read_text().splitlines())
  return int(fields[name].split()[0]) * 1024
