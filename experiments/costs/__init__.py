"""What a client pays: time and memory of local steps, measured in processes of their own."""
