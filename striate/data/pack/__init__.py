"""Packs: images decoded once, near the training size, in one memory-mapped file."""
