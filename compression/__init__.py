"""Compression: stages, codecs, and the aggregators that count what travels."""
