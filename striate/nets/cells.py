"""The cells of the papers' tables that are more than a number or a word, each parsed by its class.

`parse` takes a cell as printed and raises ValueError for any other form.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from striate.nets.options import scaled


def _matched(pattern: str, text: str, example: str) -> re.Match[str]:
    if found := re.fullmatch(pattern, text):
        return found
    raise ValueError(f"expected a cell such as {example}")


class Patch(NamedTuple):
    """Kernel and stride of a convolution or a pooling, printed `7x7/2`."""

    kernel: int
    stride: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(\d+)x\1/(\d+)", text, "7x7/2")
        return cls(int(found[1]), int(found[2]))


class MapSize(NamedTuple):
    """Height, width and channels of a map, printed `28x28x192`, or `28x192` where it is square."""

    height: int
    width: int
    channels: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(\d+)x(?:(\d+)x)?(\d+)", text, "28x28x192 or 28x192")
        return cls(int(found[1]), int(found[2] or found[1]), int(found[3]))


class Filter(NamedTuple):
    """Kernel and output channels of a convolution, printed `3x3x3x32`, or `3x3x32` where it is depthwise."""

    kernel: int
    channels: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(\d+)x\1(?:x\d+)?x(\d+)", text, "3x3x3x32 or 3x3x32")
        return cls(int(found[1]), int(found[2]))


class Conv(NamedTuple):
    """One convolution of a block."""

    kernel: int
    channels: int


class Convs(tuple[Conv, ...]):
    """The convolutions of a block, printed `1x1,64;3x3,64;1x1,256`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = (_matched(r"(\d+)x\1,(\d+)", conv, "1x1,64;3x3,64") for conv in text.split(";"))
        return cls(Conv(int(one[1]), int(one[2])) for one in found)

    def scaled(self, width: float) -> Convs:
        """The same, `width` times as wide."""
        return Convs(Conv(kernel, max(1, round(channels * width))) for kernel, channels in self)


class Operation(NamedTuple):
    """An operation of a NASNet cell, printed `sep5x5/2`, `avg3x3`, `max3x3/2` or `identity`."""

    kind: str
    kernel: int
    stride: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(identity)|(sep|avg|max)(\d+)x\3(?:/(\d+))?", text, "sep5x5/2, avg3x3 or identity")
        return cls(found[1] or found[2], int(found[3] or 1), int(found[4] or 1))


class Step(NamedTuple):
    """One step of a path: `kind` is "conv", "max" or "avg"; `kernels`, of convolutions side by side, are height, width.

    `valid`: without padding; `channels` is of each convolution, 0 for a pooling.
    """

    kind: str
    kernels: tuple[tuple[int, int], ...]
    stride: int
    valid: bool
    channels: int


class Steps(tuple[Step, ...]):
    """A path of a module, printed `1x1,64;1x7/2V,96`, or with poolings of 3x3, `avg;1x1,96` or `max/2V`.

    `1x3+3x1,256` is two convolutions of the same input, V no padding.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        return cls(_step(step) for step in text.split(";"))

    def channels(self, in_channels: int) -> int:
        """The channels that come out."""
        return next((len(step.kernels) * step.channels for step in reversed(self) if step.channels), in_channels)

    def scaled(self, width: float) -> Steps:
        """The same, `width` times as wide."""
        return Steps(step._replace(channels=scaled(step.channels, width) if step.channels else 0) for step in self)


def _step(text: str) -> Step:
    pattern = r"(?:(max|avg)|(\d+)x(\d+)(?:\+(\d+)x(\d+))?)(?:/(\d+))?(V?)(?:,(\d+))?"
    found = _matched(pattern, text, "1x7/2V,64, 1x3+3x1,64, avg or max/2V")
    pool, *sides, stride, valid, channels = found.groups()
    if bool(pool) == bool(channels):
        raise ValueError("expected channels after a convolution, and none after a pooling")
    numbers = [int(side) for side in sides if side] or [3, 3]
    kernels = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return Step(pool or "conv", kernels, int(stride or 1), bool(valid), int(channels or 0))


class Parts(tuple[str, ...]):
    """Layers in sequence, printed `conv-relu-pool` or `BN,ReLU`; a dash is none."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        return cls(() if text == "-" else re.split("[-,]", text))


class LayerCount(NamedTuple):
    """A number of layers that grows with n, printed `2n` or `1+2n`: `extra` and how many times n."""

    extra: int
    times: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(?:(\d+)\+)?(\d+)n", text, "1+2n")
        return cls(int(found[1] or 0), int(found[2]))


class StridedKind(NamedTuple):
    """A kind of stage with its stride, printed `inception` or `inception/2`."""

    name: str
    stride: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        found = _matched(r"(\w+)(?:/(\d+))?", text, "inception/2")
        return cls(found[1], int(found[2] or 1))


class ColumnLayer(NamedTuple):
    """A layer of VGG's columns: `conv3-64`, `FC-4096`, `LRN`, `maxpool`; a dot is none.

    `kind` is "conv", "FC", "LRN", "maxpool" or "". `kernel` is of convolutions, `channels` of them and of FC, else 0.
    """

    kind: str
    kernel: int
    channels: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        if text in ("LRN", "maxpool", "."):
            return cls("" if text == "." else text, 0, 0)
        found = _matched(r"(conv|FC)(\d*)-(\d+)", text, "conv3-64, FC-4096, LRN, maxpool or .")
        return cls(found[1], int(found[2] or 0), int(found[3]))


class DepthName(NamedTuple):
    """A network named for its depth, printed `densenet121`."""

    name: str
    depth: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the cell."""
        return cls(text, int(_matched(r"[a-z]+(\d+)", text, "densenet121")[1]))
