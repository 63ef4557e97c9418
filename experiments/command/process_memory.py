"""Resident memory of a process, as Linux counts it."""

import pathlib


def resident_bytes(pid: int) -> int:
  """Returns the memory that a process holds now; raises `RuntimeError` if it has ended."""
  return _status_bytes(pid, 'VmRSS')


def peak_bytes(pid: int) -> int:
  """Returns the most memory that a process has held; raises `RuntimeError` if it has ended."""
  return _status_bytes(pid, 'VmHWM')


def _status_bytes(pid: int, field: str) -> int:
  try:
    lines = pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
  except (FileNotFoundError, ProcessLookupError):
    lines = []
  for line in lines:
    name, _, value = line.partition(':')
    if name == field:
      return int(value.removesuffix('kB')) * 1024
  raise RuntimeError(f'process {pid} has ended')  # What is ending has a status without memory.
