"""Published weights: sources, checksums, and renaming of parameters."""
