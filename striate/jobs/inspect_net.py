"""Inspect a network itself: its filters and design, and on images its patches, lesions, paths, gradients and loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.anatomy.advice import advice
from striate.data.audit.looking import Looked, look
from striate.data.opening import Data, open_source
from striate.data.splits import measured_part
from striate.errors import RequestError, unknown
from striate.inference.backbones import network_of, normalised
from striate.inference.evaluation import in_the_models_order, mask_of, shared_names
from striate.inspect.blocks import branch_responses, find_blocks
from striate.inspect.fields import exciting_patches
from striate.inspect.filters import filter_norms, filter_tiles, first_convolution
from striate.inspect.gradients import gradient_norms
from striate.inspect.lesions import lesion_curve, lesions
from striate.inspect.outputs import stage_maps
from striate.inspect.paths import gradient_by_path_length
from striate.inspect.regions import RegionMeans
from striate.inspect.said_words import NextWordAfter
from striate.inspect.stages import receptive_fields
from striate.inspect.surface import loss_surface
from striate.jobs.advice import advice as advice_on
from striate.jobs.inspect_net_page import page, pictures
from striate.jobs.outputs import write_png
from striate.model import Model
from striate.nets.base import Network
from striate.nets.kinds import Captioner, Segmenter
from striate.nets.net_file import is_net_file
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import write_text
from striate.tasks import Task
from striate.tasks.pixel_losses import VOID
from striate.weights.models import open_model

MOST = 200  # images
SURFACE_IMAGES = 100  # of them: the loss is computed on all of them at each point
SURFACE_POINTS = 11  # along each direction
GRADIENT_IMAGES = 16
UNCOUNTED = -100  # the class that torch's cross-entropy leaves out
UNITS = 4  # of each stage, with their patches
PATCHES = 6


@dataclass(frozen=True, eq=False)
class Sample:
    """images [N, C, H, W], as the network takes them; crops [N, H, W, C]. seed: of all draws.

    targets int64: classes [N], or of each pixel [N, h, w] as the logits of a segmenter, UNCOUNTED where it is void;
    [N, 0] of captions.
    """

    net: Network
    images: Tensor
    targets: Tensor
    crops: Images
    seed: int
    progress: Progress

    @property
    def rows(self) -> nn.Module:
        """The network with one row of outputs for each image: of a segmenter the means of its logits, of a captioner
        the logits of the first word."""
        if isinstance(self.net, Captioner):
            return NextWordAfter(self.net)
        return RegionMeans(self.net) if isinstance(self.net, Segmenter) else self.net


Facts = dict[str, Any]


def inspect_net(
    model: str | os.PathLike[str],
    *,
    data: Data | None = None,
    parts: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    png: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Facts:
    """Facts about a trained classifier, segmenter or captioner, as JSON values, and a page with its figures.

    model: a model file, a run folder, a name with published weights, or a net file, which has no weights and is
    given design advice alone. Without images: first-layer filters, norms of all filters, and design advice.
    data: labelled images, as for `striate.train`; of their held-out part up to 200 are used. parts: what is done with
    them, of "patches", "lesions", "responses", "paths", "gradients" and "surface"; by default all that the network
    allows: lesions and paths are of classifiers alone, and of captioners there are patches and responses. out: the
    page, HTML. png: a folder for the figures that are pictures.
    Raises RequestError for a model of another kind, parts without data, an unknown part, or one that is asked for
    and needs blocks that the network does not have.
    """
    for part in parts or ():
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    if parts and data is None:
        raise RequestError(f"{', '.join(parts)} need images: give --data")
    if is_net_file(os.fspath(model)):
        return _untrained(os.fspath(model), data, out)
    opened, progress = open_model(model), progress or Progress()
    if not (opened.task.one_class or opened.task.masks or opened.task.searched):
        told = f"{os.fspath(model)!r} is a model of {opened.task.kind}"
        raise RequestError(f"a classifier, segmenter or captioner is inspected, and {told}")
    net, allowed = network_of(opened), _allowed(opened.task)
    if others := [part for part in parts or () if part not in allowed]:
        kinds = "a classifier alone" if set(others) & set(OF_CLASSES) else "classifiers and segmenters"
        raise RequestError(f"{', '.join(others)}: of {kinds}, and {opened.net} is a {net.kind}")
    found: Facts = {"model": os.fspath(model), "net": opened.net, "images": 0} | _without_images(net, opened)
    sample = None
    if data is not None:
        sample = _sample(net, opened, data, seed, progress)
        found["images"] = len(sample.images)
        for part in parts or allowed:
            found |= _part(part, sample, asked=parts is not None)
    shown = pictures(found, _tiles(net, opened), None if sample is None else sample.crops)
    if png is not None:
        for name, picture in shown.items():
            write_png(Path(png) / f"{name}.png", picture)
    if out is not None:
        write_text(Path(out), page(found, shown))
    return found


def _allowed(task: Task) -> tuple[str, ...]:
    """The parts that there are for models of a task."""
    if task.searched:
        return OF_CAPTIONS
    return tuple(part for part in PARTS if not (task.masks and part in OF_CLASSES))


def _untrained(path: str, data: Data | None, out: str | os.PathLike[str] | None) -> Facts:
    """Of a network without weights: advice on its design."""
    if data is not None:
        raise RequestError(f"{path!r} has no weights: train it, striate train DATA --net {path}, and inspect the run")
    found: Facts = {"model": path, "net": Path(path).stem, "images": 0, "filters": []}
    found["advice"] = [one.as_dict() for one in advice_on(path)]
    if out is not None:
        write_text(Path(out), page(found, {}))
    return found


def _without_images(net: Network, model: Model) -> Facts:
    norms = filter_norms(net)
    height, width = model.pixels.height, model.pixels.width
    return {
        "advice": [one.as_dict() for one in advice(net, (model.pixels.channels, height, width))],
        "filters": [
            {"layer": name, "filters": len(one), "norm_mean": float(one.mean()), "norm_min": float(one.min()),
             "norm_max": float(one.max())}
            for name, one in norms.items()
        ],
    }  # fmt: skip


def _tiles(net: Network, model: Model) -> Images | None:
    """The first layer's filters, where it is a convolution of the image."""
    try:
        _, first = first_convolution(net, torch.zeros(1, model.pixels.channels, 1, 1))
        return filter_tiles(first.weight)
    except RequestError:
        return None


def _sample(net: Network, model: Model, data: Data, seed: int, progress: Progress) -> Sample:
    """Up to MOST images of the held-out part, drawn with the seed. Raises RequestError where there is none."""
    source = open_source(data)
    index = shared_names(model.task, source)
    part = measured_part(sorted({item.part for item in source.items}))
    items = [item for item in source.items if not part or item.part == part]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(items))[:MOST])
    crops, targets = [], []
    with progress.bar("Reading the images", len(chosen)) as bar:
        for looked in look(source, model.pixels, items=[items[place] for place in chosen]):
            if looked.crop is not None:
                crops.append(looked.crop)
                targets.append(_target(looked, model, source.task, index, getattr(net, "stride", 1)))
            bar.advance()
    if not crops:
        raise RequestError(f"no usable image in {source.name!r}")
    stacked = np.stack(crops)
    wanted = torch.from_numpy(np.stack(targets))
    return Sample(net, normalised(stacked, model), wanted, stacked, seed, progress)


def _target(looked: Looked, model: Model, task: Task, index: dict[int, int], stride: int) -> NDArray[np.int64]:
    """The class of an image in the model's order; of a segmenter those of the pixels that its logits are of; of a
    captioner none."""
    if model.task.searched:
        return np.zeros(0, np.int64)
    if not model.task.masks:
        return np.array(in_the_models_order(looked.item, task, index, model.task), np.int64)
    mask = mask_of(looked, model.pixels, index)[stride // 2 :: stride, stride // 2 :: stride].astype(np.int64)
    return np.where(mask == VOID, UNCOUNTED, mask)


def _part(part: str, sample: Sample, *, asked: bool) -> Facts:
    """The facts of a part; nothing where the network does not allow it and nobody asked for it."""
    try:
        return {part: PARTS[part](sample)}
    except RequestError:
        if asked:
            raise
        return {}


def _patches(sample: Sample) -> list[Facts]:
    """Of each stage that has fields in the image, the first units and what excites them most."""
    found = []
    channels = {name: made.shape[1] for name, made in stage_maps(sample.rows, sample.images[:1]).items()}
    fields = receptive_fields(sample.rows, sample.images[0])
    for stage in sample.net.stages:
        field = fields.get(stage)
        if field is None:
            continue  # it sees the whole image, or gives no map
        units = list(range(min(UNITS, channels.get(stage, UNITS))))
        best = exciting_patches(
            sample.rows, stage, sample.images, units, top=PATCHES, field=field, progress=sample.progress
        )
        rows = [
            [patch._asdict() | {"box": list(patch.box), "position": list(patch.position)} for patch in patches]
            for patches in best
        ]
        found.append({"stage": stage, "field": list(field.size), "units": units, "patches": rows})
    return found


def _lesions(sample: Sample) -> Facts:
    single = lesions(sample.net, sample.images, sample.targets, sample.progress)
    count = len(single.blocks)
    counts = sorted({0, 1, *(round(count * share) for share in (0.1, 0.2, 0.3, 0.5)), count})
    curve = lesion_curve(sample.net, sample.images, sample.targets, counts, seed=sample.seed, progress=sample.progress)
    return {
        "intact": single.intact,
        "without": single.without,
        "median_loss": single.median_loss,
        "residual": sum(block.residual for block in single.blocks),
        "curve": [{"removed": removed, "accuracies": values} for removed, values in curve.items()],
    }


def _responses(sample: Sample) -> Facts:
    return {"deviations": branch_responses(sample.rows, sample.images[: MOST // 2])}


def _paths(sample: Sample) -> Facts:
    count = sum(block.residual for block in find_blocks(sample.net, sample.images[:1]))
    lengths = sorted({round(place) for place in np.linspace(0, count, min(count, 12) + 1)})
    few = slice(GRADIENT_IMAGES)
    rows = gradient_by_path_length(sample.net, sample.images[few], sample.targets[few], lengths, seed=sample.seed)
    return {"blocks": count, "lengths": [row._asdict() for row in rows]}


def _gradients(sample: Sample) -> Facts:
    few = slice(GRADIENT_IMAGES)
    found = gradient_norms(sample.net, sample.images[few], sample.targets[few])
    return {"layers": list(found.layers), "norms": list(found.norms), "ratio": found.ratio}


def _surface(sample: Sample) -> Facts:
    few = slice(SURFACE_IMAGES)
    found = loss_surface(
        sample.net, sample.images[few], sample.targets[few], points=SURFACE_POINTS, seed=sample.seed,
        progress=sample.progress,
    )  # fmt: skip
    return {"steps": found.steps.tolist(), "losses": found.losses.tolist(), "images": len(sample.images[few])}


PARTS: dict[str, Callable[[Sample], Any]] = {
    "patches": _patches,
    "lesions": _lesions,
    "responses": _responses,
    "paths": _paths,
    "gradients": _gradients,
    "surface": _surface,
}

OF_CLASSES = ("lesions", "paths")  # parts that need one class for each image
OF_CAPTIONS = ("patches", "responses")  # and those that need no targets
