"""The words of a net file's rows: `conv3-64/2`, `bn`, `maxpool2/2`, each a layer with its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from striate.errors import RequestError, shown, unknown

# Larger values are taken for mistakes: they would exhaust the memory.
LARGEST_KERNEL = 64
LARGEST_STRIDE = 32
LARGEST_CHANNELS = 65_536


@dataclass(frozen=True)
class Word:
    """A layer: its kind, one of `KINDS`, and its numbers.

    kernel: height and width. padding: on each side, height and width; None: half of the kernel for a convolution,
    none for pooling. outputs: channels of a convolution, numbers of a linear layer; None: the classes. value: of
    activations, dropout and squeeze-and-excitation.
    """

    kind: str
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    outputs: int | None = None
    value: float = 0.0
    padding: tuple[int, int] | None = None
    groups: int = 1
    dilation: int = 1
    bias: bool = True
    ceil: bool = False

    @property
    def around(self) -> tuple[int, int]:
        """The padding in pixels on each side, height and width."""
        if self.padding is not None:
            return self.padding
        if self.kind in ("conv", "dwconv"):
            height, width = ((self.dilation * (side - 1) + 1) // 2 for side in self.kernel)
            return height, width
        return 0, 0


_KERNEL = r"(?P<rows>\d+)(?:x(?P<columns>\d+))?"
_STRIDE = r"(?:/(?P<stride>\d+))?"
_VALUE = r"(?:-(?P<value>\d+(?:\.\d+)?))"

# Kind -> its form, after the kind's name, and the default of its value.
_FORMS: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "conv": (_KERNEL + r"-(?P<outputs>\d+|classes)" + _STRIDE, 0.0),
        "dwconv": (_KERNEL + _STRIDE, 0.0),
        "maxpool": (_KERNEL + _STRIDE, 0.0),
        "avgpool": (_KERNEL + _STRIDE, 0.0),
        "globalavgpool": ("", 0.0),
        "globalmaxpool": ("", 0.0),
        "flatten": ("", 0.0),
        "fc": (r"-(?P<outputs>\d+|classes)", 0.0),
        "pad": (r"-(?P<outputs>\d+)" + _STRIDE, 0.0),
        "bn": ("", 0.0),
        "gn": (_VALUE, 0.0),
        "lrn": ("", 0.0),
        "caffelrn": ("", 0.0),
        "se": (_VALUE, 0.0),
        "shuffle": (_VALUE, 0.0),
        "dropout": (_VALUE + "?", 0.5),
        "spatialdropout": (_VALUE + "?", 0.5),
        "leaky": (_VALUE + "?", 0.01),
        "relu": ("", 0.0),
        "relu6": ("", 0.0),
        "elu": ("", 0.0),
        "selu": ("", 0.0),
        "prelu": ("", 0.0),
        "tanh": ("", 0.0),
        "sigmoid": ("", 0.0),
        "swish": ("", 0.0),
        "hardswish": ("", 0.0),
        "gelu": ("", 0.0),
    }
)
KINDS = tuple(_FORMS)
ACTIVATIONS = tuple(KINDS[KINDS.index("leaky") :])
# What takes a vector, too.
OF_VECTORS = frozenset({"fc", "flatten", "bn", "dropout", *ACTIVATIONS})

_PATTERNS = {kind: re.compile(kind + form, re.ASCII) for kind, (form, _) in _FORMS.items()}
_EXAMPLES = {
    "conv": "conv3-64, conv3x1-64/2 or conv1-classes",
    "dwconv": "dwconv3 or dwconv3/2",
    "maxpool": "maxpool3/2",
    "avgpool": "avgpool2/2",
    "fc": "fc-512 or fc-classes",
    "pad": "pad-32/2",
    "gn": "gn-8, the number of groups",
    "se": "se-16, the channels inside",
    "shuffle": "shuffle-3, the number of groups",
    "dropout": "dropout-0.5",
    "spatialdropout": "spatialdropout-0.1",
    "leaky": "leaky-0.1",
}
# Words after a layer, which change it -> the kinds that they are for.
_CONVOLUTIONS = ("conv", "dwconv")
_CHANGES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "p": (r"p(\d+)(?:x(\d+))?", (*_CONVOLUTIONS, "maxpool", "avgpool")),
        "groups": (r"groups=(\d+)", ("conv",)),
        "dilation": (r"dilation=(\d+)", _CONVOLUTIONS),
        "ceil": ("ceil", ("maxpool", "avgpool")),
        "nobias": ("nobias", (*_CONVOLUTIONS, "fc")),
    }
)


def words_of(texts: list[str]) -> tuple[Word, ...]:
    """The layers of a row's words. A convolution or linear layer before a batch normalisation has no bias.

    Raises RequestError for a word that is none, with the nearest, and for a number out of range.
    """
    words: list[Word] = []
    for text in texts:
        if change := _change(text):
            if not words or words[-1].kind not in change[0]:
                raise RequestError(f"{text!r} follows a word that it changes: {' or '.join(change[0])}")
            words[-1] = change[1](words[-1])
            continue
        word = _word(text)
        if word.kind == "bn" and words and words[-1].kind in ("conv", "dwconv", "fc"):
            words[-1] = replace(words[-1], bias=False)
        words.append(word)
    return tuple(words)


def _word(text: str) -> Word:
    for kind, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(text):
            return _checked(kind, {name: value for name, value in found.groupdict().items() if value is not None}, text)
    begin = re.match(r"[a-z]+6?", text)
    if begin and begin[0] in _EXAMPLES:
        raise RequestError(f"{shown(text)} is not written like {_EXAMPLES[begin[0]]}")
    raise unknown("word", text, KINDS)


def _checked(kind: str, found: dict[str, str], text: str) -> Word:
    rows = _whole(found.get("rows", "1"), LARGEST_KERNEL, "the kernel", text)
    columns = _whole(found.get("columns", found.get("rows", "1")), LARGEST_KERNEL, "the kernel", text)
    # A pooling without a stride moves by its window, as in the papers' tables.
    usual = found.get("rows", "1") if kind in ("maxpool", "avgpool") else "1"
    stride = _whole(found.get("stride", usual), LARGEST_STRIDE, "the stride", text)
    outputs = found.get("outputs")
    number = None if outputs in (None, "classes") else _whole(str(outputs), LARGEST_CHANNELS, "the outputs", text)
    value = float(found.get("value", _FORMS[kind][1]))
    if kind in ("dropout", "spatialdropout") and not value < 1:
        raise RequestError(f"{text!r}: the rate is below 1")
    if kind in ("gn", "se", "shuffle"):
        _whole(found["value"], LARGEST_CHANNELS, "its number", text)
    return Word(kind, (rows, columns), stride, number, value)


def _whole(digits: str, largest: int, what: str, text: str) -> int:
    if not digits.isdigit() or len(digits) > 8 or not 1 <= int(digits) <= largest:
        raise RequestError(f"{shown(text)}: {what} is a whole number from 1 to {largest:,}")
    return int(digits)


def _change(text: str) -> tuple[tuple[str, ...], Callable[[Word], Word]] | None:
    """The kinds that a word such as `groups=2` changes, and the change; None for other words."""
    for name, (form, kinds) in _CHANGES.items():
        if found := re.fullmatch(form, text, re.ASCII):
            numbers = [part for part in found.groups() if part is not None]
            if any(len(digits) > 6 for digits in numbers):
                raise RequestError(f"{shown(text)}: its number is too large")
            return kinds, _CHANGE[name]([int(digits) for digits in numbers], text)
    return None


def _padded(numbers: list[int], text: str) -> Callable[[Word], Word]:
    def change(word: Word) -> Word:
        padding = (numbers[0], numbers[-1])
        # As in torch: a window of a pooling has a pixel of the image.
        most = [side // 2 if "pool" in word.kind else LARGEST_KERNEL for side in word.kernel]
        if any(given > limit for given, limit in zip(padding, most, strict=True)):
            raise RequestError(f"{text!r}: the padding is at most {most[0]} pixels here")
        return replace(word, padding=padding)

    return change


def _grouped(numbers: list[int], text: str) -> Callable[[Word], Word]:
    groups = _whole(str(numbers[0]), LARGEST_CHANNELS, "the groups", text)
    return lambda word: replace(word, groups=groups)


def _dilated(numbers: list[int], text: str) -> Callable[[Word], Word]:
    dilation = _whole(str(numbers[0]), LARGEST_KERNEL, "the dilation", text)
    return lambda word: replace(word, dilation=dilation)


_CHANGE: Mapping[str, Callable[[list[int], str], Callable[[Word], Word]]] = MappingProxyType(
    {
        "p": _padded,
        "groups": _grouped,
        "dilation": _dilated,
        "ceil": lambda _, __: lambda word: replace(word, ceil=True),
        "nobias": lambda _, __: lambda word: replace(word, bias=False),
    }
)
