"""Resident memory of this process, so measured that its peak is of what is alive. Linux only."""

from collections.abc import Callable
import ctypes
import gc
import os
import pathlib
from typing import Any

from experiments.command import process_memory

# For a process that is measured: the C library returns what is freed; oneDNN's allocator would keep it.
ENVIRONMENT = {'MALLOC_ARENA_MAX': '1', 'MALLOC_MMAP_THRESHOLD_': '65536', 'TF_ENABLE_ONEDNN_OPTS': '0'}

_CLEAR = pathlib.Path('/proc/self/clear_refs')
_RESET_PEAK = '5'  # See proc(5).


def settled_bytes() -> int:
  """Gives back what is free, which would otherwise serve later allocations unseen; returns the resident memory."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  return process_memory.resident_bytes(os.getpid())


def peak_bytes(call: Callable[[], Any]) -> int:
  """Returns by how much a call raises the resident memory, at most."""
  before = settled_bytes()
  _CLEAR.write_text(_RESET_PEAK)
  call()
  return process_memory.peak_bytes(os.getpid()) - before
