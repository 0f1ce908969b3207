"""The shape after a word: channels, height and width of a map, or the length of a vector."""

from __future__ import annotations

from striate.errors import RequestError
from striate.netfile.words import LARGEST_CHANNELS, OF_VECTORS, Word

Shape = tuple[int, int, int] | tuple[int]


def described(shape: Shape) -> str:
    """A shape in words, as in messages."""
    return f"{shape[0]} numbers" if len(shape) == 1 else " x ".join(str(side) for side in shape)


def after(word: Word, shape: Shape, classes: int) -> Shape:
    """The shape after `word`, given that before it. Raises RequestError for a layer that does not fit."""
    outputs = classes if word.outputs is None else word.outputs
    if word.kind == "fc":
        return (outputs,)
    if len(shape) == 1:
        if word.kind not in OF_VECTORS:
            raise RequestError(f"{word.kind} needs a map, and here are {described(shape)}")
        return shape
    channels, height, width = shape
    if word.kind in ("globalavgpool", "globalmaxpool"):
        return (channels,)
    if word.kind == "flatten":
        return (channels * height * width,)
    if word.kind in ("conv", "dwconv", "maxpool", "avgpool"):
        return _windowed(word, outputs if word.kind == "conv" else channels, shape)
    if word.kind == "pad":
        if outputs < channels:
            raise RequestError(f"pad-{outputs} adds channels, and here are {channels} already")
        return (outputs, -(-height // word.stride), -(-width // word.stride))
    if word.kind in ("gn", "shuffle") and channels % int(word.value):
        raise RequestError(f"{word.kind}-{word.value:g}: {channels} channels cannot be divided into groups of one size")
    return shape


def _windowed(word: Word, channels: int, shape: tuple[int, int, int]) -> Shape:
    if word.kind == "conv" and (shape[0] % word.groups or channels % word.groups):
        raise RequestError(f"{shape[0]} and {channels} channels cannot both be divided into {word.groups} groups")
    sides = [
        _side(size, kernel, word, padding)
        for size, kernel, padding in zip(shape[1:], word.kernel, word.around, strict=True)
    ]
    if min(sides) < 1:
        raise RequestError(f"a window of {word.kernel[0]} x {word.kernel[1]} is larger than the map {described(shape)}")
    return (channels, sides[0], sides[1])


def _side(size: int, kernel: int, word: Word, padding: int) -> int:
    room = size + 2 * padding - word.dilation * (kernel - 1) - 1
    if room < 0:
        return 0
    if not word.ceil:
        return room // word.stride + 1
    windows = -(-room // word.stride) + 1
    # As in torch and Caffe: no window begins beyond the map and its padding on the left.
    return windows - 1 if (windows - 1) * word.stride >= size + padding else windows


def concatenated(shapes: list[Shape]) -> Shape:
    """The shape of maps one after the other, by their channels. Raises RequestError for maps of other sizes."""
    maps = [shape for shape in shapes if len(shape) == 3]
    if len(maps) < len(shapes) or len({shape[1:] for shape in maps}) != 1:
        raise RequestError(f"concatenates maps of other sizes: {' and '.join(described(shape) for shape in shapes)}")
    channels = sum(shape[0] for shape in maps)
    if channels > LARGEST_CHANNELS:
        raise RequestError(f"concatenates to {channels:,} channels; at most {LARGEST_CHANNELS:,}")
    return (channels, maps[0][1], maps[0][2])
