"""The grid search of compound scaling: which alpha, beta and gamma make the best network of twice the cost.

Source: Tan and Le 2019, arXiv:1905.11946, section 3.3, step 1: with phi = 1, alpha x beta^2 x gamma^2 about 2, each at
least 1, the scaled networks are trained and compared. There: 1.2, 1.1, 1.15, whose product is 1.920.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from striate.anatomy.compound_scaling import PUBLISHED, Constants, Scaled, scaled
from striate.errors import RequestError, StriateError, WorkError
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks.metrics import wilson
from striate.tuning.architecture.images import TrialImages
from striate.tuning.architecture.trial import trained

STEP, TOLERANCE = 0.05, 0.1  # of alpha, beta and gamma; how far from 2 their product may be


@dataclass(frozen=True)
class GridRow:
    """A trained network. constants: None of the base. accuracy: on validation images, with its 95 % interval."""

    constants: Constants | None
    scaled: Scaled
    accuracy: float
    interval: tuple[float, float]
    failed: str = ""


def grid(limit: int) -> list[Constants]:
    """At most `limit` of the constants on the grid, spread evenly over it, the published ones among them.

    Raises RequestError for a limit below 1.
    """
    if limit < 1:
        raise RequestError(f"a grid search needs 1 trial at least, not {limit}")
    values = [round(1 + STEP * place, 2) for place in range(24)]
    every = [
        one
        for one in itertools.starmap(Constants, itertools.product(values, values[:10], values[:10]))
        if abs(one.product - 2) <= TOLERANCE
    ]
    chosen = [every[place] for place in np.linspace(0, len(every) - 1, max(0, limit - 1)).round().astype(int)]
    return sorted({PUBLISHED, *chosen})


def grid_search(
    net: str,
    options: Mapping[str, object],
    constants: list[Constants],
    images: TrialImages,
    recipe: Recipe,
    *,
    progress: Progress,
) -> list[GridRow]:
    """The base network and the ones scaled with phi = 1, each trained by `recipe` and validated; the base first.

    Raises RequestError for a network that cannot be scaled, WorkError if no scaled network could be trained.
    """
    planned: list[tuple[Constants | None, Scaled]] = [(None, scaled(net, 0, options=options))]
    planned += [(one, scaled(net, 1, constants=one, options=options)) for one in constants]
    rows = []
    with progress.bar("Training scaled networks", len(planned)) as bar:
        for one, size in planned:
            rows.append(_row(net, options, one, size, images, recipe))
            bar.advance()
    if all(row.failed for row in rows[1:]):
        raise WorkError(f"all {len(rows) - 1} scaled networks failed; the first: {rows[1].failed}")
    return rows


def _row(
    net: str,
    options: Mapping[str, object],
    constants: Constants | None,
    size: Scaled,
    images: TrialImages,
    recipe: Recipe,
) -> GridRow:
    training, validation = images.at(size.resolution)
    chosen = {**options, "width": size.width, "depth": size.depth}
    try:
        _, accuracy = trained(net, chosen, training, validation, recipe)
    except StriateError as error:
        return GridRow(constants, size, 0.0, (0.0, 0.0), str(error))
    total = len(validation)
    return GridRow(constants, size, accuracy, wilson(round(accuracy * total), total))
