"""The data pipeline: sources, audit, splits, augmentation, packs. Independent of networks."""
