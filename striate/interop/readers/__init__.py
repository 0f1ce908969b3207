"""Readers of other frameworks' files: plain layers and NumPy arrays, of files that are not trusted; no torch."""
