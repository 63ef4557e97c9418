"""Differential privacy of clients: what bounds a client's part in a round, the noise of the server, and what both come to."""
