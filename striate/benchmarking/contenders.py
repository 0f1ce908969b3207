"""The nets of a benchmark: their names, options, weights to start from and recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from striate.anatomy.summary import madds
from striate.errors import RequestError
from striate.learning.planning import DataSummary, check_request, scratch_pixels
from striate.learning.strategies.scratch import chosen_augment
from striate.nets.base import Net
from striate.nets.build import check_options, create_classifier
from striate.nets.catalog import check_classifier, known
from striate.nets.net_file import is_net_file, named
from striate.nets.papers import paper_recipe
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.recipe.optimizers import AUTO
from striate.tasks import Task
from striate.weights.models import named_model
from striate.weights.registry import has_weights, nets_with_weights

PAPER = "paper"  # in place of a recipe: each net's own
CLOSE = 0.1  # share by which a scaled net's multiply-adds may differ from those that were asked for
SURELY = 0.01  # closer is not looked for
NARROWEST, WIDEST, STEPS = 0.02, 16.0, 16  # widths that are tried, and how many of them


@dataclass(frozen=True, eq=False)
class Contender:
    """A net of the benchmark. label: its name on the page, and of its folder; unique.

    pixels: its preprocessing. pretrained: it starts from published weights, with new output layers. recipe: with
    everything but seed, epochs and learning rate.
    """

    label: str
    net: str
    pixels: Pixels
    recipe: Recipe
    pretrained: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def on_meta(self, task: Task) -> Net:
        """The net without memory for weights."""
        return _on_meta(self.net, self.options, self.pixels, task)


def contenders(
    nets: Sequence[str], pretrained_nets: Sequence[str], recipe: Recipe | None, summary: DataSummary
) -> list[Contender]:
    """The nets by name, those that start from published weights last. recipe: None for each net's own of its paper.

    Raises RequestError for fewer than two, for a net that cannot be trained on images, and for a recipe that does not
    give every net the same tries.
    """
    if len(nets) + len(pretrained_nets) < 2:
        raise RequestError("a benchmark compares two nets or more; give their names, such as: lenet5_plain resnet20")
    found = [_contender(name, recipe, summary, started=False) for name in nets]
    found += [_contender(name, recipe, summary, started=True) for name in pretrained_nets]
    seen: Counter[str] = Counter()
    labelled = []
    for one in found:
        seen[one.label] += 1
        again = seen[one.label] > 1
        labelled.append(replace(one, label=f"{one.label} ({seen[one.label]})") if again else one)
    return labelled


def _contender(name: str, recipe: Recipe | None, summary: DataSummary, *, started: bool) -> Contender:
    written, in_file = named(name)
    net = known(written).name
    check_classifier(net)
    given = {"strategy": "scratch", "net.name": net, **{f"net.options.{key}": value for key, value in in_file.items()}}
    own = (paper_recipe(net) if recipe is None else recipe).updated(given)
    options = dict(own.net.options)
    check_request(own)
    check_options(net, options)
    _check_recipe(own)
    if started:
        if options:
            raise RequestError(f"net.options are of networks from random weights; {net} starts from published ones")
        if not has_weights(net):
            known_nets = ", ".join(nets_with_weights())
            raise RequestError(f"there are no published weights of {net!r} here; nets that have them: {known_nets}")
        weights = named_model(net)
        pixels, options = weights.pixels, dict(weights.options.get("options", {}))
    else:
        pixels = scratch_pixels(net, summary, options)
    chosen = {
        "augment": chosen_augment(own.augment, pixels),
        "train.precision": "float32" if own.train.precision == AUTO else own.train.precision,
        "train.compile": "no" if own.train.compile == AUTO else own.train.compile,
    }
    label = Path(name).stem if is_net_file(name) else name.rpartition(":")[2]
    label += " (pretrained)" if started else ""
    return Contender(label, net, pixels, own.updated(chosen), started, options)


def _check_recipe(recipe: Recipe) -> None:
    """Raise RequestError for keys that would give some nets more than others, or look at test images."""
    if recipe.optimizer.lr == AUTO:
        raise RequestError(
            "optimizer.lr = 'auto' is a search of its own: a benchmark tries three learning rates around the recipe's; "
            "set a number, or leave it out"
        )
    for name, why in (
        ("data.folds", "a benchmark holds out one test part"),
        ("data.ood", "a benchmark has no detector"),
        ("train.patience", "the budget decides how long a net trains"),
        ("train.stop_after", "the budget decides how long a net trains"),
        ("train.overfit_batch", "a benchmark makes no such check"),
    ):
        if recipe.value(name):
            raise RequestError(f"{name} is set, and {why}: leave it out")


def matched(contender: Contender, wanted: int, task: Task) -> Contender:
    """The net with its width scaled so that one image takes `wanted` multiply-adds, within a tenth.

    Raises RequestError for a net without the option `width`, with weights, or whose widths do not come close enough.
    """
    if contender.pretrained:
        raise RequestError(f"{contender.net} starts from published weights, whose width is theirs: leave out --match")

    def cost(width: float) -> int:
        options = {**contender.options, "width": width}
        return madds(_on_meta(contender.net, options, contender.pixels, task), _size(contender.pixels))

    try:
        check_options(contender.net, {"width": 1.0})
    except RequestError:
        raise RequestError(f"{contender.net} has no option width, and cannot be scaled to {wanted:,} madds") from None
    low, high = NARROWEST, WIDEST
    tried: dict[float, int] = {}
    for _ in range(STEPS):
        width = float(f"{(low * high) ** 0.5:.4g}")
        if width in tried:
            break
        try:
            tried[width] = cost(width)
        except (RequestError, ValueError, RuntimeError):  # a width that leaves a layer without channels
            tried[width] = 0
        if abs(tried[width] - wanted) < SURELY * wanted:
            break
        low, high = (width, high) if tried[width] < wanted else (low, width)
    best = min(tried, key=lambda width: abs(tried[width] - wanted))
    if abs(tried[best] - wanted) > CLOSE * wanted:
        raise RequestError(
            f"{contender.net} has {tried[best]:,} multiply-adds at width {best:g}, not within a tenth of {wanted:,}"
        )
    return replace(contender, options={**contender.options, "width": best})


def _size(pixels: Pixels) -> tuple[int, int]:
    return pixels.height, pixels.width


def _on_meta(net: str, options: dict[str, Any], pixels: Pixels, task: Task) -> Net:
    with torch.device("meta"):
        return create_classifier(
            net, classes=task.outputs, in_channels=pixels.channels, input_size=_size(pixels), options=options
        )
