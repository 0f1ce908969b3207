"""Compound scaling against scaling depth, width or resolution alone, and a grid of its constants."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from striate.studies.study import MADDS, PARAMETERS, TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

if TYPE_CHECKING:  # it imports torch
    from striate.tuning.architecture.images import TrialImages

BASE, COMPOUND = "base", "compound (1.2, 1.1, 1.15)"
# By what depth, width and resolution are multiplied. One alone costs no less than all of them together.
SINGLE = {"depth alone": (2.2, 1.0, 1.0), "width alone": (1.0, 1.6, 1.0), "resolution alone": (1.0, 1.0, 1.35)}
GRID = {"1.0, 1.2, 1.2": (1.0, 1.2, 1.2), "1.2, 1.2, 1.1": (1.2, 1.2, 1.1), "1.4, 1.1, 1.1": (1.4, 1.1, 1.1)}
FACTORS = {BASE: (1.0, 1.0, 1.0), COMPOUND: (1.2, 1.1, 1.15), **SINGLE, **GRID}
WIDTH, DEPTH, SIDE = 0.25, 0.5, 48  # of the base, as parts of EfficientNet-B0, and its images
IMAGES = {"quick": 400, "cpu": 3000, "paper": 37_500}  # for training; a third as many to compare on
BATCH = {"quick": 16, "cpu": 32, "paper": 64}
EPOCHS = {"quick": 6, "cpu": 6, "paper": 100}


def compute(arm: Arm, context: Context) -> Result:
    """Train a scaled network by a search's recipe; its error on images of the training part that were kept back."""
    from striate.anatomy.summary import madds, parameters
    from striate.tuning.architecture.trial import trained, trial_recipe

    depth, width, resolution = FACTORS[arm.label]
    side = round(SIDE * resolution)
    training, validation = _images(context.data, IMAGES[context.scale], context.seed).at(side)
    options: dict[str, Any] = {"width": WIDTH * width, "depth": DEPTH * depth}
    recipe = trial_recipe(epochs=EPOCHS[context.scale], batch=BATCH[context.scale], seed=context.seed)
    net, accuracy = trained("efficientnet_b0", options, training, validation, recipe)
    counts = {PARAMETERS: parameters(net) / 1e3, MADDS: madds(net, (side, side)) / 1e6}
    return Result({TEST_ERROR: 100 * (1 - accuracy), **counts})


@functools.lru_cache(maxsize=1)  # for all arms of a seed
def _images(data: str, most: int, seed: int) -> TrialImages:
    from striate.data.dataset import open_data
    from striate.tuning.architecture.images import trial_images

    return trial_images(open_data(data), most=most, rule="squash", seed=seed)


def _scale(data: str, scale: str, seeds: int, time: str) -> Scale:
    return Scale(
        data,
        {},
        seeds,
        f"A quarter of EfficientNet-B0's width and half of its depth, images of {SIDE} pixels in place of 224, "
        f"{IMAGES[scale]:,} of them, {EPOCHS[scale]} epochs of batches of {BATCH[scale]}. The images are smaller and "
        "enlarged, so that a higher resolution shows no more of them. Alone, a dimension is scaled until the network "
        "costs at least as much as with all three. After training, batch norms take the statistics of the training "
        "images: a running average that forgets 1 % a step is of random weights for hundreds of steps. Compared on a "
        "part of the training images.",
        time,
    )


STUDY = Study(
    "compound-scaling",
    "Scaling depth, width and resolution together",
    "At equal cost, is it better to scale depth, width and resolution together than one alone?",
    "Tan, Le 2019, arXiv:1905.11946, section 3.3 and Table 2",
    "L20, M7-M10",
    (
        Published("constants of depth, width and resolution, by a grid search", "1.2, 1.1, 1.15: product 1.920"),
        Published("EfficientNet-B0, B1: top-1 accuracy, multiply-adds", "77.1 %, 0.39 G; 79.1 %, 0.70 G"),
        Published("EfficientNet-B3, B5, B7", "81.6 %, 1.8 G; 83.6 %, 9.9 G; 84.3 %, 37 G"),
    ),
    tuple(map(Arm, FACTORS)),
    (
        *(Claim(f"{label}: the error is larger than with all three", TEST_ERROR, label, COMPOUND) for label in SINGLE),
        *(Claim(f"with {label} the error is larger", TEST_ERROR, label, COMPOUND) for label in GRID),
    ),
    {
        "quick": _scale("mnist-5k", "quick", 2, "4 minutes on two cores"),
        "cpu": _scale("cifar10", "cpu", 3, "30 minutes on two cores"),
        "paper": _scale("cifar10", "paper", 5, "10 hours on a GPU"),
    },
    (TEST_ERROR, PARAMETERS, MADDS),
    compute,
)
