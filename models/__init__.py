"""Models: building blocks, the tasks they are trained on, and what comes from other libraries."""
