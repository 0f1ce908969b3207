"""Defaults of training on masks and boxes, where they differ from those of one label for each image."""

from __future__ import annotations

from striate.recipe import Recipe

BATCH = 8  # images: each has tens of thousands of targets, so that few are enough for a step


def dense_defaults(recipe: Recipe) -> Recipe:
    """The recipe with batches of 8, AdamW and no label smoothing, wherever a key is at its default.

    A default of the recipe itself cannot be told from the same value set by hand: batches of 64 become 8, too.
    """
    plain, changes = Recipe(), dict[str, object]()
    if recipe.train.batch == plain.train.batch:
        changes["train.batch"] = max(BATCH, recipe.train.accumulate)
    if recipe.optimizer == plain.optimizer:
        changes["optimizer.name"] = "adamw"
    if recipe.loss.label_smoothing is None:
        changes["loss.label_smoothing"] = 0.0
    return recipe.updated(changes)
