"""The layers that networks are built from, one file per layer. Layers are independent of networks."""
