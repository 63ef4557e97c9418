"""Readers of data sets, each as it is published."""
