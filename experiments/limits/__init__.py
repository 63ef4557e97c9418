"""Training under the limits of devices: which method fits, planned before the run."""
