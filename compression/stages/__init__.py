"""The links of a codec, each of which turns tensors into smaller ones and back."""
