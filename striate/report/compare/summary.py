"""One run in short, as plain data, to be set beside others: drawn by `striate.report.compare.page`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from striate.sections.wording import Format


@dataclass(frozen=True, eq=False, kw_only=True)
class RunSummary:
    """One run of `striate train`. `name` tells it apart, such as its folder; `data`, `net`, `strategy` are in words.

    `score` is the value of the metric `score_name` ("accuracy", "mean average precision", "mean absolute error"), with
    its 95 % `interval` (None: not known); `higher_is_better` says which way, `score_form` how it is written.
    `images` were evaluated, and `held_out` is a digest of which ones: two scores compare only where it is equal
    (empty: not known). `outcomes` are the target and the score of each of them by path, if the score is their mean:
    runs on other images are compared on those that all evaluated. `seconds` is the time of the whole run, `megabytes`
    the size of the model file.
    `metrics` are further figures by name, `curve` is a row an epoch, `recipe` is TOML, `recalls` are by class.
    """

    name: str
    data: str
    net: str
    strategy: str
    score_name: str
    score: float
    task: str = "classification"
    higher_is_better: bool = True
    score_form: Format = "percent"
    interval: tuple[float, float] | None = None
    images: int = 0
    seconds: float | None = None
    megabytes: float | None = None
    parameters: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Mapping[str, float], ...] = ()
    recipe: str = ""
    recalls: Mapping[str, float | None] = field(default_factory=dict)
    held_out: str = ""
    outcomes: Mapping[str, tuple[str, float]] = field(default_factory=dict)
