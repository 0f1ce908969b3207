"""Inspect: why a model gives its answer for an image, as numbers, pictures and one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from striate.anatomy.receptive import Field
from striate.anatomy.trace import trace_run
from striate.errors import RequestError, unknown
from striate.inference.backbones import network_of, normalised
from striate.inference.predictor import Predictor
from striate.inspect.class_maps import ClassMap, class_map, layer_map
from striate.inspect.occlusion import Occlusion, occlusion
from striate.inspect.outputs import default_layer
from striate.inspect.precision import LEAST_FOR_CHECKS, LEAST_FOR_MAPS, has_bfloat16, in_bfloat16
from striate.inspect.regions import ObjectLogits, RegionMeans, coarsest_layer
from striate.inspect.said_words import NextWordAfter
from striate.inspect.sensitivity import integrated_gradients, smooth_gradient
from striate.inspect.stages import stage_by_stage
from striate.inspect.trust import deletion, edge_correlation, offset, randomised
from striate.jobs.inspect_boxes import ObjectMaps, asked_object, object_maps
from striate.jobs.inspect_captions import CaptionMaps, caption_facts, caption_maps
from striate.jobs.inspect_masks import MaskMaps, mask_maps
from striate.jobs.inspection import ImageInspection, Inspection, Trust
from striate.jobs.outputs import require_file, same_file
from striate.nets.kinds import Captioner, sayable
from striate.pixels import Images, Pixels, crop_side
from striate.progress import Progress
from striate.reading import IMAGE, read_file
from striate.storage import write_text
from striate.tasks import Answer, Detection
from striate.tasks.values import sigmoid
from striate.weights.models import open_model

MOST = 12  # images on one page
METHODS = ("cam", "gradient", "occlusion", "ig")
USUAL = ("cam", "gradient", "occlusion")
Wanted = tuple[int | None, int]  # the output to explain, None: the answer; of boxes, which of its objects, from 0
PHOTO = 480  # pixels that are kept of the photograph


def inspect_images(
    model: str | os.PathLike[str],
    images: Sequence[str | os.PathLike[str]],
    *,
    name: str = "",
    layer: str = "",
    methods: Sequence[str] = USUAL,
    html: str | os.PathLike[str] | None = None,
    png: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Inspection:
    """Why does a model answer so? Maps of what speaks for the answer, and checks whether they can be trusted.

    model: a model file, a run folder, or a net with published weights. images: at most 12 files; a folder stands for
    the images in it; an image in a folder named after a class has that class marked. name: the output to explain, such
    as a class; by default the answer, of a mask its largest class but class 0, of boxes the best object ("person:2" is
    the second best person), of a caption the word that depends most on the image. layer: a stage of the network, whose
    map is read; by default the last of at least 4 x 4 positions, of masks and boxes the coarsest. methods: of "cam",
    "gradient", "occlusion" and "ig" (integrated gradients). html: a page to write. png: a folder for the maps as
    pictures.
    Where the processor computes in bfloat16, networks from 100 M multiply-adds do so for the checks, and from 1 G for
    gradient and occlusion, too; class maps are always in float32.
    Raises RequestError for an unknown name, layer or method, a word that a caption does not have, and images that
    cannot be read.
    """
    progress = progress or Progress()
    paths = _paths(images)
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    if html is not None:
        _check_page(Path(html), [*paths, os.fspath(model)])
    predictor = Predictor(open_model(model), engine="torch", precision="float32")
    names, net = predictor.classes, _net(predictor).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    wanted = asked_object(name, names) if predictor.task.boxes else (names.index(name) if name in names else None, 0)
    if name and wanted[0] is None:
        raise unknown("word" if predictor.task.searched else predictor.model.task.wording.one, name, names)
    if layer and layer not in net.stages:
        raise unknown(f"layer of {predictor.model.net}", layer, net.stages)
    with progress.bar("Inspecting the images", len(paths)) as bar:
        crops = [predictor.crop(path, path) for path in paths]
        inputs = normalised(np.stack(crops), predictor.model)
        layer = layer or _default_layer(predictor, net, inputs)
        traced = trace_run(net, inputs[:1])
        fields = {stage: step.field for stage, step in traced.left.items()}
        nets = _nets(net, sum(cost.madds for cost in traced.counted))
        found: list[ImageInspection] = []
        for path, crop, image in zip(paths, crops, inputs, strict=True):
            look = _Look(predictor, nets, image, layer, tuple(methods), seed)
            found.append(look.at(path, crop, wanted, fields))
            bar.advance()
        # A region or a box stays where it is, and of an image made small there would be another caption.
        measured = "cam" in methods and not (predictor.task.dense or predictor.task.searched)
        away = offset(nets.checks, inputs[0], found[0].asked[0], layer) if measured else None
    kinds = ("checks",) * (nets.checks is not net) + ("gradient", "occlusion") * (nets.maps is not net)
    done = Inspection(predictor, layer, away, found, kinds)
    _write(done, html, png)
    return done


def _check_page(page: Path, inputs: Sequence[str]) -> None:
    """Raise RequestError, before any work, for a page that would overwrite an input or cannot be written."""
    require_file(page)
    if any(same_file(page, Path(path)) for path in inputs):
        raise RequestError(f"{str(page)!r} is an input, and is not overwritten; name another file")


class _Nets(NamedTuple):
    """The network, and what computes gradient and occlusion, and the checks: itself or a copy in bfloat16."""

    exact: nn.Module
    maps: nn.Module
    checks: nn.Module

    def over(self, summary: Callable[[nn.Module], nn.Module]) -> _Nets:
        """What `summary` makes of them, one row of outputs an image."""
        exact = summary(self.exact)
        maps = exact if self.maps is self.exact else summary(self.maps)
        checks = exact if self.checks is self.exact else maps if self.checks is self.maps else summary(self.checks)
        return _Nets(exact, maps, checks)


def _net(predictor: Predictor) -> nn.Module:
    task = predictor.task
    return network_of(predictor.model) if task.dense or task.searched else predictor.net


def _default_layer(predictor: Predictor, net: nn.Module, images: Tensor) -> str:
    task = predictor.task
    if task.searched:
        return default_layer(NextWordAfter(net), images)
    if task.dense:
        return coarsest_layer(RegionMeans(net) if task.masks else ObjectLogits(net, (0, 0, 1, 1)), images[:1])
    return default_layer(net, images)


def _nets(net: nn.Module, madds: int) -> _Nets:
    if madds < LEAST_FOR_CHECKS or not has_bfloat16():
        return _Nets(net, net, net)
    copied = in_bfloat16(net)
    return _Nets(net, copied if madds >= LEAST_FOR_MAPS else net, copied)


class _Seen(NamedTuple):
    """What the model gives for an image: see `ImageInspection`."""

    answer: Answer
    logits: NDArray[np.float32]
    predictions: NDArray[np.float32]
    masks: MaskMaps | None = None
    boxes: ObjectMaps | None = None
    caption: CaptionMaps | None = None


@dataclass(frozen=True, eq=False)
class _Look:
    """One image [C, H, W] of a network, as it is inspected."""

    predictor: Predictor
    nets: _Nets
    image: Tensor
    layer: str
    methods: tuple[str, ...]
    seed: int

    def at(self, path: str, crop: Images, wanted: Wanted, fields: Mapping[str, Field | None]) -> ImageInspection:
        """Everything that is asked for."""
        task = self.predictor.model.task
        if task.searched:
            return self._captioned(path, crop, wanted, fields)
        with torch.no_grad():
            made = self.nets.exact(self.image[None])[0].numpy()
        if not np.isfinite(made).all():
            raise RequestError(f"the outputs of the model for {path!r} are NaN or infinite")
        if isinstance(task, Detection):
            return self._of_object(path, crop, object_maps(made, task, *wanted), fields)
        if not task.masks:
            logits = made.reshape(-1)
            rows = task.predictions(logits[None])[0]
            seen = _Seen(task.answer(rows), logits, rows)
            return self._explained(path, crop, seen, _asked(logits, wanted[0]), fields)
        masks = mask_maps(made, wanted[0])
        logits, rows = made[:, masks.region].mean(1), masks.probabilities[:, masks.region].mean(1)
        region = torch.from_numpy(masks.region)
        look = replace(self, nets=self.nets.over(lambda net: RegionMeans(net, region)))
        seen = _Seen(task.answer(masks.mask), logits, rows, masks)
        return look._explained(path, crop, seen, _asked(logits, masks.explained), fields)

    def _of_object(
        self, path: str, crop: Images, boxes: ObjectMaps, fields: Mapping[str, Field | None]
    ) -> ImageInspection:
        one = boxes.explained
        look = replace(self, nets=self.nets.over(lambda net: ObjectLogits(net, one.box)))
        with torch.no_grad():
            logits = look.nets.exact(self.image[None])[0].numpy()
        answer = Answer(one.label, one.score, np.zeros(0, np.float32), None, boxes.line, {})
        return look._explained(
            path, crop, _Seen(answer, logits, sigmoid(logits), boxes=boxes), _asked(logits, one.place), fields
        )

    def _captioned(
        self, path: str, crop: Images, wanted: Wanted, fields: Mapping[str, Field | None]
    ) -> ImageInspection:
        """The same for a captioner: of a word of its caption, given the words before it."""
        net, task = self.nets.exact, self.predictor.model.task
        assert isinstance(net, Captioner)
        covered = "occlusion" in self.methods
        try:
            found = caption_maps(net, self.nets.maps, self.image, task.names, wanted[0], covered=covered)
        except RequestError as error:
            raise RequestError(f"{path!r}: {error}") from None
        look = replace(self, nets=self.nets.over(lambda one: NextWordAfter(one, found.before)))
        with torch.no_grad():
            logits = sayable(look.nets.exact(self.image[None])[0])
        seen = _Seen(task.answer(found.numbers), logits.numpy(), logits.softmax(0).numpy(), caption=found)
        return look._explained(path, crop, seen, _asked(seen.logits, found.explained), fields)

    def _explained(
        self, path: str, crop: Images, seen: _Seen, asked: tuple[int, ...], fields: Mapping[str, Field | None]
    ) -> ImageInspection:
        net, image, use = self.nets.exact, self.image, self.methods
        classes = None
        if "cam" in use:
            classes = class_map(net, image[None].expand(len(asked), -1, -1, -1), asked, self.layer)
        slope = smooth_gradient(self.nets.maps, image[None], asked[0], seed=self.seed) if "gradient" in use else None
        photo, box = photograph(path, self.predictor.model.pixels)
        return ImageInspection(
            path,
            _labelled(path, self.predictor.classes) if self.predictor.model.task.one_class else None,
            photo,
            box,
            crop,
            *seen,
            asked,
            classes,
            None if slope is None else np.sqrt((slope[0] ** 2).sum(0)),
            self._covered(seen, asked[0]) if "occlusion" in use else None,
            integrated_gradients(net, image, asked[0]) if "ig" in use else None,
            None if classes is None else self._trust(classes, asked[0]),
            stage_by_stage(net, image, fields),
        )

    def _covered(self, seen: _Seen, output: int) -> Occlusion:
        """Of a caption every word's is known."""
        if seen.caption is not None and seen.caption.occlusion is not None:
            return seen.caption.occlusion[seen.caption.place]
        return occlusion(self.nets.maps, self.image, output)

    def _trust(self, classes: ClassMap, output: int) -> Trust:
        values = classes.values[0]

        def map_of(net: nn.Module) -> NDArray[np.float32]:
            found: NDArray[np.float32] = layer_map(net, self.image[None], output, self.layer)[0]
            return found

        return Trust(
            randomised(self.nets.checks, map_of, seed=self.seed),
            edge_correlation(self.image, values),
            deletion(self.nets.checks, self.image, output, values, seed=self.seed),
        )


def _asked(logits: NDArray[np.float32], wanted: int | None) -> tuple[int, ...]:
    """The output to explain and the one to compare it with: the answer, or the runner-up."""
    order = np.argsort(-logits, kind="stable").tolist()
    first = order[0] if wanted is None else wanted
    others = [place for place in order if place != first]
    return (first, *others[:1])


def _labelled(path: str, classes: Sequence[str]) -> int | None:
    """The class that an image's folder is named after."""
    folder = Path(path).absolute().parent.name
    return list(classes).index(folder) if folder in classes else None


def _paths(images: Sequence[str | os.PathLike[str]]) -> list[str]:
    paths: list[str] = []
    for path in map(Path, images):
        if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
            from striate.data.sources.folder import open_images  # with all that reads data, which a file does not need

            paths += [str(path / item.key) for item in open_images(path).items]
        else:
            paths.append(str(path))
    if not 1 <= len(paths) <= MOST:
        raise RequestError(f"a page shows 1 to {MOST} images, not {len(paths):,}")
    return paths


def photograph(path: str, pixels: Pixels) -> tuple[Images, tuple[int, int, int, int]]:
    """The photograph, made small, and the box (left, top, right, bottom) that becomes the network's input."""
    image = pixels.decode(read_file(Path(path), IMAGE)).image
    scale = min(1.0, PHOTO / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    box = (0, 0, width, height)
    if pixels.rule == "crop":
        side = max(1, round(crop_side(min(image.size), pixels.fraction) * scale))
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
    small = image.resize((width, height), Image.Resampling.LANCZOS) if scale < 1 else image
    return np.asarray(small.convert("RGB")), box


def _write(done: Inspection, html: str | os.PathLike[str] | None, png: str | os.PathLike[str] | None) -> None:
    from striate.jobs.inspect_page import map_pictures, page

    if html is not None:
        write_text(Path(html), page(done))
    if png is not None:
        map_pictures(done, Path(png))


def facts(done: Inspection) -> dict[str, object]:
    """The numbers as JSON values."""
    away = done.offset
    return {
        "model": done.predictor.model.net,
        "layer": done.layer,
        "bfloat16": list(done.bfloat16),
        "offset": None if away is None else {"mean": list(away.mean), "furthest": away.furthest},
        "images": [_row(one, done.predictor) for one in done.images],
    }


def _row(one: ImageInspection, predictor: Predictor) -> dict[str, object]:
    task = predictor.model.task
    row: dict[str, object] = {
        "file": one.path,
        "labelled": None if one.labelled is None else task.names[one.labelled],
        "answer": one.answer.label,
        "explained": [task.names[place] for place in one.asked],
        "outputs": [float(one.logits[place]) for place in one.asked],
    }
    if one.masks is not None:
        row["region"] = {"pixels": int(one.masks.region.sum()), "predicted": one.masks.found}
        row["shares"] = one.answer.facts["shares"]
        row["confidence"] = float(one.masks.confidence.mean())
    if one.boxes is not None:
        row["object"] = {**one.boxes.explained.as_dict(), "box": list(one.boxes.explained.box)}
        row["found"] = one.boxes.found
        row["objects"] = len(one.boxes.objects)
    if one.caption is not None:
        row |= caption_facts(one.caption)
    if one.classes is not None:
        kept = {"kind": one.classes.kind, "exact": one.classes.exact, "layer": one.classes.layer}
        row["class_maps"] = {**kept, "values": one.classes.values.tolist(), "bias": one.classes.bias.tolist()}
    if one.occlusion is not None:
        covered = one.occlusion
        row["occlusion"] = {"values": covered.values.tolist(), "patch": covered.patch, "stride": covered.stride}
    if one.integrated is not None:
        found = one.integrated
        row["integrated_gradients"] = {
            "change": found.change, "steps": found.steps, "gap": found.gap, "converged": found.converged,
        }  # fmt: skip
    if one.trust is not None:
        from striate.jobs.inspect_checks import checks

        row["checks"] = [{"check": each.name, "value": each.value, "passed": each.passed} for each in checks(one.trust)]
    row["stages"] = [
        {"name": each.name, "maps": each.channels, "size": each.size, "strongest": each.strongest.tolist(),
         "dead": each.dead, "field": each.field}
        for each in one.stages
    ]  # fmt: skip
    return row
