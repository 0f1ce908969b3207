"""Models in other formats: graphs from uint8 RGB images of any size to probabilities, usable without Striate."""
