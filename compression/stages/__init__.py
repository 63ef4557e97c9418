"""The stages of codecs, each of which turns tensors into smaller ones and back."""
