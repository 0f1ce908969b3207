"""Tasks: what a model predicts for an image, one file a task. NumPy only at import."""
