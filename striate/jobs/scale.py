"""Scale a network by compound scaling: its figures by the formula, or a grid search of the constants with training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from striate.data.dataset import open_data
from striate.data.opening import Data
from striate.errors import RequestError
from striate.nets.catalog import check_classifier, entry
from striate.nets.net_file import named
from striate.progress import Progress

if TYPE_CHECKING:  # they import torch
    from striate.anatomy.compound_scaling import Compound, Constants, Scaled
    from striate.recipe import Recipe
    from striate.tuning.scaling import GridRow

PHIS = tuple(range(8))
PUBLISHED_NET = "efficientnet_b0"  # of which B1 to B7 are published


@dataclass(frozen=True)
class Scaling:
    """scaled: the network by the formula, a row for each phi. published: of EfficientNet-B0, the published network of
    that number. grid: of a grid search the trained networks, the base first."""

    net: str
    constants: Constants
    scaled: tuple[Scaled, ...]
    published: tuple[Compound, ...] = ()
    grid: tuple[GridRow, ...] = ()

    @property
    def best(self) -> GridRow | None:
        """The scaled network of the grid with the highest accuracy, the cheapest of equal ones; None without a grid."""
        return max(
            (row for row in self.grid[1:] if not row.failed),
            key=lambda row: (row.accuracy, -row.scaled.madds),
            default=None,
        )

    @property
    def close(self) -> int:
        """How many other scaled networks the best one is too close to call with: their 95 % intervals overlap."""
        best = self.best
        if best is None:
            return 0
        others = (row for row in self.grid[1:] if row is not best and not row.failed)
        return sum(row.interval[1] >= best.interval[0] for row in others)

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "net": self.net,
            "constants": {**self.constants._asdict(), "product": self.constants.product},
            "scaled": [row._asdict() for row in self.scaled],
            "published": [row._asdict() for row in self.published],
            "grid": [
                {
                    "constants": None if row.constants is None else row.constants._asdict(),
                    **row.scaled._asdict(),
                    "accuracy": row.accuracy,
                    "interval": list(row.interval),
                    "failed": row.failed,
                }
                for row in self.grid
            ],
        }


def scale(
    net: str,
    *,
    phi: int | Sequence[int] | None = None,
    constants: Sequence[float] | None = None,
    data: Data | None = None,
    trials: int = 8,
    images: int = 1000,
    epochs: int = 3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Scaling:
    """Compound scaling of `net`, a network with the options width and depth or a net file: depth alpha^phi, width
    beta^phi, resolution gamma^phi.

    Without data: the scaled networks for each of `phi` (default: 0 to 7), counted; of EfficientNet-B0 with the
    published constants beside B1 to B7.
    constants: alpha, beta, gamma; default: the published 1.2, 1.1, 1.15. data: search a grid of `trials` constants,
    alpha x beta^2 x gamma^2 about 2, at phi = 1: each scaled network is trained for `epochs` on at most `images`
    training images and validated on others of the training part; `phi` and `constants` are not taken then.
    Raises RequestError for invalid arguments or a network that cannot be scaled, WorkError if every training fails.
    """
    net, options = named(net)
    entry(net)
    check_classifier(net)
    from striate.anatomy.compound_scaling import PUBLISHED, Constants, compound_scaling, scaled

    _require_scalable(net)
    if data is not None:
        if phi is not None or constants is not None:
            raise RequestError("a grid search finds the constants at phi = 1: give neither phi nor constants with data")
        rows = tuple(_grid(net, options, data, trials, images, _recipe(epochs, seed), progress or Progress()))
        searched = Scaling(net, PUBLISHED, (rows[0].scaled,), grid=rows)
        best = searched.best
        assert best is not None and best.constants is not None  # or the grid search would have raised
        return dataclasses.replace(searched, constants=best.constants)
    if constants is not None and len(constants) != 3:
        raise RequestError(f"constants are alpha, beta and gamma, three numbers, not {len(constants)}")
    chosen = PUBLISHED if constants is None else Constants(*map(float, constants))
    phis = PHIS if phi is None else (phi,) if isinstance(phi, int) else tuple(phi)
    made = tuple(scaled(net, one, constants=chosen, options=options) for one in phis)
    beside = net == PUBLISHED_NET and chosen == PUBLISHED and not options
    known = [one for one in phis if one in PHIS]
    return Scaling(net, chosen, made, tuple(compound_scaling(known)) if beside else ())


def _require_scalable(net: str) -> None:
    """Raise RequestError for a network whose constructor does not take width and depth."""
    import inspect

    from striate.nets.build import variant_of
    from striate.nets.catalog import entries

    def scalable(name: str) -> bool:
        return {"width", "depth"} <= set(inspect.signature(variant_of(name).net).parameters)

    if not scalable(net):
        likely = [one.name for one in entries("efficientnet_*", tiny=True)]
        raise RequestError(
            f"{net} has no options width and depth, so it cannot be scaled; networks that have them: searched_mobile "
            f"(and net files of it), {', '.join(name for name in likely if scalable(name))}"
        )


def _recipe(epochs: int, seed: int) -> Recipe:
    from striate.tuning.architecture.trial import trial_recipe

    return trial_recipe(epochs=epochs, batch=64, seed=seed)


def _grid(
    net: str, options: Mapping[str, object], data: Data, trials: int, most: int, recipe: Recipe, progress: Progress
) -> list[GridRow]:
    from striate.tuning.architecture.images import trial_images
    from striate.tuning.scaling import grid, grid_search

    constants = grid(trials)
    split = open_data(data, seed=recipe.seed, progress=progress)
    found = trial_images(split, most=most, rule="squash", seed=recipe.seed)
    return grid_search(net, options, constants, found, recipe, progress=progress)
