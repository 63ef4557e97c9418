"""Grids of runs: the file that describes them, the search of rates, and their processes."""
