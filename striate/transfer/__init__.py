"""Learning from a pretrained net: cached features, the linear head, the choice of a strategy."""
