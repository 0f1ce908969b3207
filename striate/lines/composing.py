"""Lines composed of single digits, with spacing, slant, shifts and noise; and windows to train a reader on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import RequestError
from striate.lines.preparing import WINDOW, PreparedLine, prepare_line
from striate.pixels import Images

NONE = "none"  # the class of windows that have no digit in their middle
HEIGHT = 48  # pixels of a composed line
_INKED = 48  # grey level from which a digit's pixels count for its extent
_CENTRED, _BESIDE = 2, 5  # pixels from a digit's middle: at most, to be read; at least, to be none


@dataclass(frozen=True)
class Style:
    """How lines vary; each value is drawn anew. gap: pixels between the digits' ink, least and most (negative: they
    touch or overlap). slant: the most horizontal shift for each pixel of height. shift: the most vertical pixels of a
    digit. scale: the least and the most size of a digit. noise: the least and the most standard deviation, of 255."""

    gap: tuple[int, int] = (0, 8)
    slant: float = 0.3
    shift: int = 2
    scale: tuple[float, float] = (0.85, 1.1)
    noise: tuple[float, float] = (0, 0.1)


TRAINING = Style(gap=(-3, 8), slant=0.5, shift=3, scale=(0.8, 1.15), noise=(0, 0.15))  # more than in lines to read


@dataclass(frozen=True, eq=False)
class ComposedLine:
    """image: uint8 [HEIGHT, W], bright on dark. labels: of its digits. middles: the column of each digit's middle."""

    image: Images
    labels: tuple[int, ...]
    middles: tuple[float, ...]


def compose_line(digits: Images, labels: NDArray[np.int64], rng: np.random.Generator, style: Style) -> ComposedLine:
    """Digits [n, h, w], bright on dark, side by side in one line."""
    slant = rng.uniform(-style.slant, style.slant)
    drawn = [_drawn(digit, slant, rng.uniform(*style.scale)) for digit in digits]
    gaps = rng.integers(style.gap[0], style.gap[1] + 1, len(drawn))
    line = np.zeros((HEIGHT, sum(one.shape[1] for one in drawn) + int(gaps.clip(0).sum()) + 24), np.float32)
    x, middles = 12, []
    for one, gap in zip(drawn, gaps.tolist(), strict=True):
        top = (HEIGHT - one.shape[0]) // 2 + int(rng.integers(-style.shift, style.shift + 1))
        place = line[top : top + one.shape[0], x : x + one.shape[1]]
        np.maximum(place, one, out=place)
        middles.append(x + one.shape[1] / 2)
        x += one.shape[1] + gap
    line += rng.normal(0, 255 * rng.uniform(*style.noise), line.shape)
    return ComposedLine(line.clip(0, 255).astype(np.uint8), tuple(labels.tolist()), tuple(middles))


def _drawn(digit: Images, slant: float, scale: float) -> NDArray[np.float32]:
    """A digit sheared and resized, cut to its ink; at most HEIGHT - 8 high."""
    scale = min(scale, (HEIGHT - 8) / len(digit))
    side = [max(1, round(length * scale)) for length in (digit.shape[1], digit.shape[0])]
    image = Image.fromarray(digit).resize((side[0], side[1]), Image.Resampling.BILINEAR)
    wide = Image.new("L", (2 * side[0], side[1]))
    wide.paste(image, (side[0] // 2, 0))
    shear = (1, slant, -slant * side[1] / 2, 0, 1, 0)
    values = np.asarray(wide.transform(wide.size, Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR), np.float32)
    rows, columns = (np.flatnonzero((values > _INKED).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise RequestError("a digit has no ink: digits are bright on dark, 0 to 255")
    return values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def compose_lines(
    images: Images, labels: NDArray[np.int64], count: int, *, length: int = 5, seed: int = 0, style: Style | None = None
) -> list[ComposedLine]:
    """`count` lines of `length` digits (a zip code's five), drawn from images [N, h, w] with labels [N]."""
    lines = []
    for place in range(count):
        rng = np.random.default_rng((seed, place))
        chosen = rng.integers(0, len(images), length)
        lines.append(compose_line(images[chosen], labels[chosen], rng, style or Style()))
    return lines


def training_windows(
    images: Images, labels: NDArray[np.int64], count: int, *, none: int, seed: int = 0, style: Style = TRAINING
) -> tuple[Images, NDArray[np.int64]]:
    """Windows [N, 32, 32] of `count` composed lines of three digits, as a reader sees them, and their labels.

    Of each digit two windows within 2 pixels of its middle; as many at least 5 pixels from every middle, whose label is
    `none`, that of the class `NONE`. Windows between are left out, because either label would do.
    """
    windows, found = [], []
    for place, line in enumerate(compose_lines(images, labels, count, length=3, seed=seed, style=style)):
        rng = np.random.default_rng((seed, place, 1))
        prepared = prepare_line(line.image)
        middles = np.array([prepared.left + prepared.scale * middle for middle in line.middles])
        for middle, label in zip(middles, line.labels, strict=True):
            for shift in rng.uniform(-_CENTRED, _CENTRED, 2):
                windows.append(_window(prepared, middle + shift))
                found.append(label)
        columns = np.arange(WINDOW // 2, prepared.image.shape[1] - WINDOW // 2)
        beside = columns[np.abs(columns[:, None] - middles).min(axis=1) >= _BESIDE]
        windows += [_window(prepared, float(column)) for column in rng.choice(beside, 2 * len(middles))]
        found += [none] * (2 * len(middles))
    return np.stack(windows), np.array(found, np.int64)


def _window(line: PreparedLine, middle: float) -> Images:
    left = int(np.clip(round(middle) - WINDOW // 2, 0, line.image.shape[1] - WINDOW))
    return line.image[:, left : left + WINDOW]
