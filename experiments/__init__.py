"""Experiment binaries: the only folder that knows flags."""

import os
import warnings

# TensorFlow writes a dozen lines about hardware at import and more at each trace; this must be set before its import.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
# An import of TFF imports the deprecated pkg_resources, which says so.
warnings.filterwarnings('ignore', message='pkg_resources is deprecated')
