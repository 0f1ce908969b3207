"""Augmentations from words, as `--augment` takes them."""

from __future__ import annotations

from striate.data.augment.augmentation import Augmentation
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION
from striate.recipe.changing import augment_keys


def augmentation(words: str) -> Augmentation:
    """What "crop=0.3,1 flip=0.5" says, or a preset and keys over it."""
    none = Recipe(augment=NO_AUGMENTATION)
    return Augmentation.of(none.updated({"augment": augment_keys(words.split())}).augment)
