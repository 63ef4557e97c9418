"""Optimizers: federated algorithms, what clients train of a model, and which part of it they hold."""
