"""Style: a photograph painted as a painting is, and training a network that does it for one painting."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.data.sources.base import Oddity
from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.jobs.index import photo_source
from striate.jobs.outputs import require_file, same_file, write_png
from striate.jobs.usable import usable
from striate.pixels import Images
from striate.progress import Progress
from striate.reading import given_path

if TYPE_CHECKING:
    from striate.styling.painting import Choices

PathLike = str | os.PathLike[str]
SIZE = 256  # pixels of the longer side, by default
MOST_PHOTOGRAPHS = 2000  # that are kept to train on, at 256 pixels: 400 MB
FULL = 0  # of `decode`: no reduced decoding


@dataclass(frozen=True)
class Styled:
    """The picture as it was written. seconds: of the work. losses: what is left of content and style, 0 for all of
    them kept and taken; empty for a fast net, which has none."""

    path: Path
    picture: Images
    seconds: float
    losses: tuple[tuple[str, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows, columns = self.picture.shape[:2]
        facts = {"picture": str(self.path), "width": columns, "height": rows, "seconds": round(self.seconds, 2)}
        return facts | {f"{name}_loss": value for name, value in self.losses}


@dataclass(frozen=True)
class TrainedStyle:
    """The file of weights. photographs: how many it was trained on. set_aside: those that could not be used."""

    path: Path
    photographs: int
    steps: int
    seconds: float
    set_aside: tuple[Oddity, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "weights": str(self.path),
            "photographs": self.photographs,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "set_aside": [{"path": one.path, "kind": one.kind, "why": one.why} for one in self.set_aside],
        }


def style(
    content: PathLike,
    painting: PathLike | None = None,
    *,
    out: PathLike,
    fast: PathLike | None = None,
    strength: float | None = None,
    size: int | None = None,
    keep_colours: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Styled:
    """Paint a photograph as a painting is, and write the picture as the PNG file `out`.

    By optimisation (`striate.styling.painting`), or with `fast`, a file of weights of a network that was trained for
    one painting (`train_style`), in one pass and for pictures of any size (`striate.styling.tiles`). While it is
    optimised, `out` is written again and again, at first small: a look at what is coming.

    strength: of the style against the content, 1 by default; size: the longer side in pixels, 256 by default, and that
    of the photograph for a fast net; the picture is in proportion. keep_colours: the photograph's colours, and the
    painting's brush strokes. seed: of the noise at the start; the same seed gives the same picture on the same machine.
    Raises RequestError for files that are no pictures or weights, for values out of range, and if the VGG-16 that
    compares pictures is not installed; WorkError if the picture does not stay finite.
    """
    progress = progress or Progress()
    target = _png(out, [content, *([painting] if painting else []), *([fast] if fast else [])])
    if fast is not None:
        if painting or strength is not None or seed is not None:
            raise RequestError("a fast net paints in the style, at the strength and seed that it was trained for")
        return _fast(content, fast, target, size, keep_colours, progress)
    if painting is None:
        raise RequestError("name the painting to take the style of, or the weights of a fast net (--fast)")
    from striate.styling.painting import Choices

    choices = Choices(size or SIZE, 1.0 if strength is None else strength, seed or 0)
    return _optimised(content, painting, target, choices, keep_colours, progress)


def _optimised(
    content: PathLike, painting: PathLike, target: Path, choices: Choices, keep_colours: bool, progress: Progress
) -> Styled:
    from striate.styling.painting import levels, paint
    from striate.styling.pictures import as_bright, brightness, resized, with_colours_of
    from striate.weights.vgg16_trunk import vgg16_trunk

    photograph, model = (_picture(one) for one in (content, painting))
    weights = vgg16_trunk()
    started = time.perf_counter()
    seen = photograph
    if keep_colours:
        seen = brightness(photograph)
        model = as_bright(brightness(model), seen)

    def coloured(picture: Images) -> Images:
        return with_colours_of(picture, resized(photograph, max(picture.shape), 1)) if keep_colours else picture

    with progress.bar("Painting", sum(steps for _, steps in levels(photograph.shape, choices.size))) as bar:
        done = paint(seen, model, weights, choices, lambda picture: write_png(target, coloured(picture)), bar)
    losses = (("content", done.content_loss), ("style", done.style_loss))
    return Styled(target, coloured(done.picture), time.perf_counter() - started, losses)


def _fast(
    content: PathLike, fast: PathLike, target: Path, size: int | None, keep_colours: bool, progress: Progress
) -> Styled:
    from striate.styling.fast_net import LEAST, read_fast_net
    from striate.styling.pictures import resized, with_colours_of
    from striate.styling.tiles import paint_fast, passes

    if size is not None and not LEAST <= size <= 65_535:
        raise RequestError(f"size is {size}; it must be from {LEAST} to 65,535 pixels")
    net = read_fast_net(given_path(fast, "the weights"))
    photograph = _picture(content)
    if size:
        photograph = resized(photograph, size, LEAST)
    started = time.perf_counter()
    with progress.bar("Painting", passes(photograph.shape)) as bar:
        picture = paint_fast(net, photograph, bar)
    if keep_colours:
        picture = with_colours_of(picture, photograph)
    write_png(target, picture)
    return Styled(target, picture, time.perf_counter() - started)


def train_style(
    painting: PathLike,
    photos: PathLike | list[PathLike],
    *,
    out: PathLike,
    strength: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainedStyle:
    """Train a network that paints photographs as the painting is, on photographs (files, and folders of them), and
    write its weights as the safetensors file `out`, for `style`'s `fast`.

    The weights are also written ten times on the way. steps: of two pieces of 128 pixels each, 1000 by default.
    strength: of the style against the content. seed: of the first weights and the pieces.
    Raises RequestError for values out of range, and if no photograph can be used.
    """
    from striate.styling.fast_net import FastNet, write_fast_net
    from striate.styling.learning import Lesson, train_fast_net
    from striate.weights.vgg16_trunk import vgg16_trunk

    progress = progress or Progress()
    given = list(photos) if isinstance(photos, (list, tuple)) else [photos]
    target = given_path(out, "the weights")
    require_file(target)
    if target.suffix != ".safetensors":
        raise RequestError(f"{str(target)!r} must end in .safetensors, the file of weights to write")
    lesson = Lesson(Lesson.steps if steps is None else steps, strength, seed)
    model = _picture(painting)
    source = photo_source(given)
    kept, oddities = _kept([item.key for item in source.items], progress)
    if not kept:
        raise RequestError(f"no photograph can be used to train on: {oddities[0].path}: {oddities[0].why}")
    weights = vgg16_trunk()
    started = time.perf_counter()

    def saved(net: FastNet) -> None:
        write_fast_net(target, net)

    with progress.bar("Training", lesson.steps) as bar:
        train_fast_net(model, kept, weights, lesson, bar, saved)
    found = (*source.oddities, *oddities)
    return TrainedStyle(target, len(kept), lesson.steps, time.perf_counter() - started, found)


def _kept(paths: list[str], progress: Progress) -> tuple[list[Images], list[Oddity]]:
    """The photographs to train on, small, and those that cannot be used; evenly taken from more than 2,000."""
    from striate.styling.learning import LONGER, photograph_for_training

    chosen = [paths[round(place)] for place in np.linspace(0, len(paths) - 1, min(len(paths), MOST_PHOTOGRAPHS))]

    def read(path: str) -> Images:
        return photograph_for_training(np.asarray(decoded_file(Path(path), LONGER).image.convert("RGB")))

    failed: list[tuple[str, str]] = []
    with progress.bar("Reading the photographs", len(chosen)) as bar:
        kept = list(usable(chosen, read, failed, bar))
    return kept, [Oddity(path, "unreadable", why) for path, why in failed]


def _picture(path: PathLike) -> Images:
    image = decoded_file(given_path(path, "the picture"), FULL).image
    return np.asarray(image.convert("RGB"))


def _png(out: PathLike, inputs: Iterable[PathLike]) -> Path:
    """The path of the picture to write. Raises RequestError if it is no PNG, or one of the inputs."""
    target = given_path(out, "the picture")
    if target.suffix.lower() != ".png":
        raise RequestError(f"{str(target)!r} must end in .png: the picture is written as PNG")
    require_file(target)
    if any(same_file(target, Path(one)) for one in inputs):
        raise RequestError(f"{str(target)!r} is an input, and is not overwritten; name another file")
    return target
