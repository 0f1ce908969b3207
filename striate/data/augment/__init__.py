"""How training images are varied: what may happen, drawn by key, done a batch at a time."""
