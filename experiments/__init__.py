"""Experiment binaries: the only folder that knows flags."""

import os
import sys
import warnings

from experiments.command import own_packages
from experiments.command import spec_help


def _open_standard_streams() -> None:
  """Puts the null device in the place of standard streams that are closed, as they are under some daemons.

  This comes before imports that open files: a file that gets a descriptor of theirs is what libraries then write to.
  """
  for descriptor, name in enumerate(('stdin', 'stdout', 'stderr')):
    if getattr(sys, name) is None:
      opened = os.open(os.devnull, os.O_RDWR)  # Gets the lowest descriptor that is free: this one, unless it is taken.
      os.set_inheritable(opened, opened == descriptor)
      stream = os.fdopen(opened, 'w' if descriptor else 'r', errors='backslashreplace')
      setattr(sys, name, stream)
      setattr(sys, f'__{name}__', stream)


_open_standard_streams()
own_packages.come_first()
spec_help.answer_at_once()

# TensorFlow writes a dozen lines about hardware at import and more at each trace; this must be set before its import.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# Memory of a GPU is taken as it is needed: with all of it in one process, a second could not begin.
os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
# An import of TFF imports the deprecated pkg_resources, which says so.
warnings.filterwarnings('ignore', message='pkg_resources is deprecated')
