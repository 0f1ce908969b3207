"""Transfer learning: cached features, the linear head, gradual unfreezing."""
