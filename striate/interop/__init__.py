"""Models in other formats: graphs that take uint8 RGB images of any size and answer probabilities, without Striate."""
