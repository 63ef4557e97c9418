"""TFF's workers: started, isolated, local or elsewhere, and what they are asked."""
