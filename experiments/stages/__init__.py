"""Self-supervision block by block, and what its encoders are worth."""
