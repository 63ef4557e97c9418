"""A federated run: its flags, rounds, faults and checkpoints."""
