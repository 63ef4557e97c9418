"""What a run leaves: its folder, rows, tables and pictures."""
