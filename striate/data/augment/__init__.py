"""Data augmentation: its configuration, keyed random draws, and transforms of batches."""
