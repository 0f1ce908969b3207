"""Images on their way to a net: sources, audit, splits, augmentation, packs. Knows no net."""
