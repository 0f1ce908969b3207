"""Data sources: folders, manifests, arrays, IDX, CIFAR, named sets."""
