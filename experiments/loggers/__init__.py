"""Loggers: who is told the rows of a run's `metrics.csv` as they come, such as Weights & Biases and MLflow."""
