"""Preparation: read every image once, audit, split, and make what a strategy trains on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, audit, require_learnable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item, Source
from striate.learning.context import RunContext
from striate.learning.extraction import FeatureExtractor, checked_precision, extract, feature_extractor, features_of
from striate.learning.split import Split
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.transfer.features import FeatureCache
from striate.weights.models import pretrained

if TYPE_CHECKING:  # it imports torch
    from striate.learning.image_cache import CachedImages


@dataclass(frozen=True, eq=False)
class Features:
    """The features of the usable images under a frozen backbone. matrix [usable, D]: float32."""

    extractor: FeatureExtractor
    cache: FeatureCache
    matrix: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready to train on.

    recipe: with the choices that depend on the data. pixels: the preprocessing. features: under a pretrained
    backbone, for strategies that start from one. images: decoded, for strategies that train the net.
    """

    source: Source
    recipe: Recipe
    split: Split
    pixels: Pixels
    features: Features | None = None
    images: CachedImages | None = None


def prepare_features(source: Source, net: str, recipe: Recipe, context: RunContext) -> Prepared:
    """Read every image and run it through the pretrained `net`. Raises RequestError for data that cannot be trained
    on."""
    with context.stage("backbone"):
        asked = recipe.inference
        extractor = feature_extractor(pretrained(net), asked.engine, asked.precision, len(source.items))
    if asked.precision == "auto" and extractor.precision != "float32":
        with context.stage("choose the precision"):
            extractor = checked_precision(source, extractor)
    with context.stage("read and extract features"):
        pairs, cache = extract(source, extractor, context.progress)
    split = _split(source, pairs, recipe, context, extractor.backbone.pixels)
    features = Features(extractor, cache, features_of(split.audit.usable, cache))
    return Prepared(source, recipe, split, extractor.backbone.pixels, features)


def prepare_images(source: Source, pixels: Pixels, recipe: Recipe, context: RunContext, *, larger: bool) -> Prepared:
    """Decode every image for training. `larger`: also at a size above the input size, for augmentation that zooms.

    Raises RequestError for data that cannot be trained on.
    """
    from striate.learning.image_cache import cache_images

    with context.stage("look"), context.processes.in_turn():
        cache = cache_images(source, pixels, larger=larger, progress=context.progress)
    split = _split(source, cache.pairs, recipe, context, pixels)
    images = cache.of(split.audit.usable)
    split = dataclasses.replace(split, masks=images.masks)
    return Prepared(source, recipe, split, pixels, images=images)


def with_images(prepared: Prepared, context: RunContext, *, larger: bool) -> Prepared:
    """The same data, with its images decoded for training."""
    from striate.learning.image_cache import cache_images

    with context.stage("decode for training"):
        cache = cache_images(prepared.source, prepared.pixels, larger=larger, progress=context.progress)
    return dataclasses.replace(prepared, images=cache.of(prepared.split.audit.usable))


def _split(
    source: Source, pairs: Sequence[tuple[Item, Record]], recipe: Recipe, context: RunContext, pixels: Pixels
) -> Split:
    found: Audit = audit(source, list(pairs), progress=context.progress)
    if pixels.channels == 1:  # grey images are what the net takes
        found = dataclasses.replace(found, findings=[one for one in found.findings if one.kind != "grey"])
    require_learnable(found, source.name)
    return Split.make(found, recipe)
