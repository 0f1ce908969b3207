"""A study as plain values: its question, what was published, what is run at each scale, and its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.model import Model
from striate.sections.wording import Format

ScaleName = Literal["quick", "cpu", "paper"]
SCALES: tuple[ScaleName, ...] = ("quick", "cpu", "paper")
# The measures of a training; errors are in percent.
TEST_ERROR, TRAINING_ERROR, LOSS, SECONDS = "test error", "training error", "training loss", "training seconds"
PARAMETERS, MADDS = "parameters, thousands", "multiply-adds of an image, M"  # counted
LATENCY = "latency of one image, ms"
_TIMES = (SECONDS, LATENCY)
_EVERYWHERE = {"train.precision": "float32", "train.compile": "no"}  # at "quick" all machines compute the same


@dataclass(frozen=True)
class Published:
    """A published number. value: as printed, with its unit. lecture: what a lecture prints instead, if it differs.

    arm, measure: what is measured here in its place, by default the study's first measure; "": nothing of its kind.
    """

    what: str
    value: str
    lecture: str = ""
    arm: str = ""
    measure: str = ""


@dataclass(frozen=True)
class Arm:
    """One of the things compared. settings: keys of its recipe, over those of the scale."""

    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """`larger` has a larger value of the measure than `smaller`, both labels of arms.

    Reproduced where the 95 % interval of the paired difference lies above 0, not reproduced where it lies below 0,
    undecided where it holds 0. gain: the smallest difference that counts, in the measure's unit. exact: the measure has
    no noise, such as a count of parameters.
    """

    text: str
    measure: str
    larger: str
    smaller: str
    gain: float = 0.0
    exact: bool = False


@dataclass(frozen=True)
class Scale:
    """How a study is run at one scale.

    data: a named set, unless `--data` says otherwise; "" for studies without data. recipe: keys of all arms' recipes.
    changes: further keys by the label of an arm. images: at most so many for training and for testing, evenly over the
    set; None: all. deviation: how the protocol differs from the published one. time: what to expect, and on what.
    """

    data: str
    recipe: Mapping[str, Any]
    seeds: int
    deviation: str
    time: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: tuple[int, int] | None = None


@dataclass(frozen=True)
class Result:
    """An arm on one seed. numbers: by measure. wrong: 1 for each test image that was classified wrong, else 0.

    curve: of (epoch, measures), or of what the study's curves show. images: how many it was trained and scored on,
    where it is a training. seconds: that it took when it was made.
    """

    numbers: Mapping[str, float]
    wrong: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    images: tuple[int, int] | None = None
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Curve:
    """A chart of a study's page: one line for each arm, of a key of its curve over another one, on the first seed.

    log: the scale of `over` is logarithmic.
    """

    key: str
    title: str
    over: str = "epoch"
    form: Format = "digits"
    log: bool = False


OF_TRAINING = (
    Curve("loss", "Training loss by epoch"),
    Curve("accuracy", "Held-out accuracy by epoch", form="percent"),
)


@dataclass(frozen=True)
class Context:
    """What a computed arm may use.

    data: a path or a named set. published: gives the model of a file of published weights by its name, its network and
    the library that it is from. opened: the source of a path or a named set, with the scale's number of images.
    trained: the folder of a finished training on the data, by keys of its recipe; it is kept as those of other studies.
    """

    scale: ScaleName
    seed: int
    data: str
    published: Callable[[str, str, str], Model]
    opened: Callable[[str], Source]
    trained: Callable[[Mapping[str, Any]], Path]


Compute = Callable[[Arm, Context], Result]


@dataclass(frozen=True)
class Study:
    """A published experiment. rows: of the lectures. measures: those shown, the claims' among them.

    compute: for arms that are not trainings: an arm's result. needs: what `--weights` must name. curves: charts.
    """

    name: str
    title: str
    question: str
    source: str
    rows: str
    published: tuple[Published, ...]
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    scales: Mapping[ScaleName, Scale]
    measures: tuple[str, ...] = (TEST_ERROR,)
    compute: Compute | None = None
    needs: str = ""
    curves: tuple[Curve, ...] = OF_TRAINING

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) != len(labels):
            raise ValueError(f"{self.name}: two arms have one label")
        for claim in self.claims:
            if {claim.larger, claim.smaller} - set(labels) or claim.measure not in self.measures:
                raise ValueError(f"{self.name}: the claim {claim.text!r} names no arm or no measure of the study")
        for row in self.published:
            if {row.arm} - {"", *labels} or {row.measure} - {"", *self.measures}:
                raise ValueError(f"{self.name}: the published row {row.what!r} names no arm or no measure of the study")
        for scale in self.scales.values():
            if set(scale.changes) - set(labels):
                raise ValueError(f"{self.name}: changes of no arm")

    @property
    def compares_times(self) -> bool:
        """Whether a claim is about time, which whatever else the machine does disturbs."""
        return any(claim.measure in _TIMES for claim in self.claims)

    def data_at(self, scale: str) -> str:
        """The data sets of a scale, by name; "" for none."""
        own = [str(self.settings(arm, scale, 0).get("data.path", "")) for arm in self.arms]
        return ", ".join(dict.fromkeys(name for name in (self.at(scale).data, *own) if name))

    def at(self, scale: str) -> Scale:
        """The study at one scale. Raises RequestError for one that it does not have."""
        for name, found in self.scales.items():
            if name == scale:
                return found
        raise RequestError(f"the study {self.name!r} has no scale {scale!r}; it has {', '.join(self.scales)}")

    def settings(self, arm: Arm, scale: str, seed: int) -> dict[str, Any]:
        """The keys of an arm's recipe on a seed."""
        found = self.at(scale)
        same = _EVERYWHERE if scale == "quick" else {}
        return {**same, **found.recipe, **arm.settings, **found.changes.get(arm.label, {}), "seed": seed}
