"""The layers that networks are built from, one file per layer. A layer knows no network."""
