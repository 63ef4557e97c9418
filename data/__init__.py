"""Federated text: sources, tokenisation, partitions and the prepared data set on disk."""
