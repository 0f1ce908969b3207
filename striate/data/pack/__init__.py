"""Images decoded once, near the training size, in one file that is mapped and never loaded."""
