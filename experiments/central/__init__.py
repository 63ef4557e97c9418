"""Training and evaluation in one place, without clients."""
