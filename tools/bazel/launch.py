"""Runs a module as `python -m` does, for Bazel, which starts scripts only: launch.py <module> <argument>..."""

import runpy
import sys

if __name__ == '__main__':
  # Python puts the folder of this script first; under `python -m` it is the working directory.
  sys.path[0] = ''
  del sys.argv[0]
  runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
