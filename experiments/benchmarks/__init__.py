"""Speed and memory against stock TFF and others."""
