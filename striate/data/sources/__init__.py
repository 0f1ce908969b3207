"""Where images come from: folders, manifests, arrays, IDX, CIFAR, named sets. They decide nothing."""
