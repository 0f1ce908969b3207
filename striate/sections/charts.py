"""Blocks that are drawn from figures: curves, scatters, histograms, intervals, calibration, the confusion matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.sections.blocks import Block, Picture, Words
from striate.sections.wording import Format

Tone = Literal["good", "bad", "t0", "t1", "t2", "t3", "t4", "t5"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """An axis: its label, how its values are written, its range (None: that of the values), and whether it is
    logarithmic (powers of ten are marked)."""

    label: str = ""
    form: Format = "plain"
    range: Range | None = None
    log: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart: x [N] and y [N], left to right; points that are not finite are left out."""

    x: ArrayLike
    y: ArrayLike
    tone: Tone = "good"

    @cached_property
    def points(self) -> list[tuple[float, float]]:
        """The finite points, in order."""
        pairs = zip(_flat(self.x).tolist(), _flat(self.y).tolist(), strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


@dataclass(frozen=True, eq=False)
class Lines(Block):
    """A line chart. title: its caption. band: an interval of x that is shaded, band_name: what it is. rule: an x that
    is marked by a vertical line. Values above the y range are cut off. label: what a screen reader says. points: those
    of these lines are drawn as dots. key: the names of the tones, below the chart."""

    title: Words
    lines: tuple[Line, ...]
    x: Axis = Axis()
    y: Axis = Axis()
    band: Range | None = None
    band_name: str = ""
    rule: float | None = None
    label: str = ""
    points: tuple[Line, ...] = ()
    key: tuple[tuple[str, Tone], ...] = ()


@dataclass(frozen=True, eq=False)
class Scatter(Block):
    """Points x [N], y [N]. diagonal: the line y = x is drawn, and both axes have one range."""

    title: Words
    x: ArrayLike
    y: ArrayLike
    x_label: str = ""
    diagonal: bool = False


@dataclass(frozen=True)
class Bubble:
    """A point with its name. size: an area in proportion to it; None: a dot. range: of y, drawn as a line. more: what
    else is told of it where it is pointed at."""

    name: str
    x: float
    y: float
    size: float | None = None
    range: Range | None = None
    more: str = ""
    tone: Tone = "good"


@dataclass(frozen=True)
class Bubbles(Block):
    """Named points whose areas are a third quantity. front: x and y of a line of steps, such as a Pareto front.

    level: a y that is marked across the chart, level_name: what it is. size_name: what the areas are. named: the most
    names that are written; those of the first bubbles are, where there is room.
    """

    title: Words
    bubbles: tuple[Bubble, ...]
    x: Axis = Axis()
    y: Axis = Axis()
    front: tuple[tuple[float, float], ...] = ()
    level: float | None = None
    level_name: str = ""
    size_name: str = ""
    named: int = 40


@dataclass(frozen=True, eq=False)
class Slice(Block):
    """Values y [N] over x [N], such as scores over a key. names: of the places 0, 1, ... of x, where it is no quantity.

    log: x is on a logarithmic scale. range: of x; None: that of the values. best: the place of a point that stands out.
    """

    title: Words
    x: ArrayLike
    y: ArrayLike
    names: tuple[str, ...] = ()
    log: bool = False
    range: Range | None = None
    form: Format = "digits"
    best: int | None = None


@dataclass(frozen=True)
class Upright:
    """An axis of parallel coordinates: its name, and words at shares, 0 to 1, of its height."""

    name: str
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, eq=False)
class Parallel(Block):
    """Parallel coordinates: a line for each row of shares [N, axes], 0 to 1, the strongest for the largest weights [N].

    A line leaves out the axes where its share is NaN. best: the row that stands out; None for none.
    """

    title: Words
    axes: tuple[Upright, ...]
    shares: ArrayLike
    weights: ArrayLike
    best: int | None = None


@dataclass(frozen=True, eq=False)
class Histogram(Block):
    """How many of the values [N] lie in each range, about zero. below, above: what either side of zero means."""

    title: Words
    values: ArrayLike
    below: str = ""
    above: str = ""


@dataclass(frozen=True, eq=False)
class Histograms(Block):
    """Two distributions as shares of each, and the threshold that tells them apart.

    names: of the two. ends: what lies at the left and at the right end. threshold_name: what happens from it on.
    """

    title: Words
    first: ArrayLike
    second: ArrayLike
    names: tuple[str, str]
    threshold: float
    threshold_name: str = "threshold"
    ends: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Dot:
    """A value with its interval (None: not known), and more on it. drawn apart: a summary of the others."""

    name: str
    value: float
    interval: Range | None = None
    more: str = ""
    tone: Tone = "good"


@dataclass(frozen=True)
class Intervals(Block):
    """Values by name on one scale, each a dot with its interval. mean: a value and its interval that are drawn behind
    all of them, mean_names: what the two are."""

    title: Words
    dots: tuple[Dot, ...]
    form: Format = "digits"
    mean: tuple[float, Range] | None = None
    mean_names: tuple[str, str] = ("mean", "95 % interval of the mean")


@dataclass(frozen=True, eq=False)
class Reliability(Block):
    """A reliability diagram: counts [B], mean confidence [B] and accuracy [B] in B equal ranges of confidence, and the
    expected calibration error."""

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float


@dataclass(frozen=True, eq=False)
class CellPicture:
    """A picture behind one cell of a confusion matrix: row, the true class; column, the predicted one."""

    row: int
    column: int
    picture: Picture


@dataclass(frozen=True)
class Confused:
    """`count` of the `of` images of the class at `row` were predicted as the class at `column`."""

    row: int
    column: int
    count: int
    of: int


@dataclass(frozen=True, eq=False)
class ConfusionMatrix(Block):
    """counts [C, C]: rows true classes, columns predicted ones, by the order of `names`. pictures: behind the cells.

    Raises ValueError when the matrix does not fit the names.
    """

    names: tuple[str, ...]
    counts: NDArray[np.integer[Any]]
    pictures: tuple[CellPicture, ...] = ()

    def __post_init__(self) -> None:
        side = len(self.names)
        if self.counts.shape != (side, side):
            raise ValueError(f"the matrix has shape {self.counts.shape}; {side} classes need {(side, side)}")

    def most_confused(self, limit: int) -> tuple[Confused, ...]:
        """The up to `limit` most frequent confusions, most frequent first; of equal ones, the larger share first."""
        sizes = self.counts.sum(1)
        return tuple(
            Confused(row, column, int(self.counts[row, column]), int(sizes[row]))
            for row, column in self._confused[:limit]
        )

    def confusable(self, limit: int) -> tuple[int, ...]:
        """Places of the up to `limit` classes in the most frequent confusions, partners side by side."""
        found: dict[int, None] = {}
        for pair in self._confused:
            if len(found.keys() | set(pair)) <= limit:
                found.update(dict.fromkeys(pair))
            if len(found) >= limit:
                break
        for place in range(len(self.names)):
            if len(found) >= limit:
                break
            found.setdefault(place)
        return tuple(found)

    @cached_property
    def _confused(self) -> list[tuple[int, int]]:
        rows, columns = np.nonzero(self.counts)
        apart = rows != columns
        rows, columns = rows[apart], columns[apart]
        order = np.lexsort((columns, rows, self.counts.sum(1)[rows], -self.counts[rows, columns]))
        return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


@dataclass(frozen=True)
class Box:
    """A box of a drawing: its label, and a second line."""

    label: str
    detail: str = ""


@dataclass(frozen=True)
class Feedback(Block):
    """A process as boxes in a row, each leading to the next, and from the last back to the first.

    names: what goes from each box to the next, the last what goes back. aside: a box below the row, on a second way
    from the second box to the last; aside_name: what it gives. label: what a screen reader says.
    """

    boxes: tuple[Box, ...]
    names: tuple[str, ...]
    aside: Box
    aside_name: str
    label: str

    def __post_init__(self) -> None:
        if len(self.boxes) != len(self.names) or len(self.boxes) < 3:
            raise ValueError(f"{len(self.boxes)} boxes, three at least, need as many names, not {len(self.names)}")


def _flat(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).ravel()
