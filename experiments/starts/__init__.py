"""What training starts from: weights and encoders that were trained before."""
