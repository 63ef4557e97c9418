"""Secure sums: what clients round to and send, so that a server can add up without seeing any of them."""
