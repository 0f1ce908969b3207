"""What a search found: the value that `striate.tune` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.recipe import Recipe
from striate.tasks.values import Metric, or_none
from striate.tuning.folder import BEST_RECIPE
from striate.tuning.nested import NestedEstimate
from striate.tuning.outcomes import Flattery, TrialRow
from striate.tuning.space import Space, described


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a search found so far.

    best: the trial of the best validation score. run: the folder of its recipe, trained on all training images; None
    while other workers are at trials, of whom the last one trains it. held_out: metrics of that run on the held-out
    images. flattery: its score beside that of the trial. nested: the estimate by outer folds, if requested.
    """

    folder: Path
    metric: Metric
    space: Space
    rows: Sequence[TrialRow]
    best: TrialRow
    recipe: Recipe
    validated_on: str
    run: Path | None = None
    held_out: Mapping[str, Any] = field(default_factory=dict)
    flattery: Flattery | None = None
    nested: NestedEstimate | None = None

    def lines(self) -> list[str]:
        """The result as text."""
        text, ended = self.metric.text, [row for row in self.rows if row.ended]
        lines = [
            f"Best of {len(ended)} trials: {self.metric.name} {text(self.best.value)}"
            f"{self._around(self.best.interval)} on {self.validated_on}",
            f"Trial {self.best.number}: {described(self.best.values)}",
        ]
        if self.flattery is None:
            return [*lines, "Other workers are at it: the last one trains the best recipe"]
        held = interval_of(self.held_out)
        total = self.held_out.get("total")
        lines.append(f"Held out {text(self.flattery.held_out)}{self._around(held)} on {total} images that no trial saw")
        lines.append(f"The search flatters itself by {self._flattered(self.flattery)}")
        if self.nested is not None:
            scores = ", ".join(map(text, self.nested.scores))
            lines.append(
                f"Nested {text(self.nested.score)}{self._around(self.nested.interval)}: the procedure as a whole, over "
                f"{len(self.nested.scores)} outer folds ({scores})"
            )
        return lines

    def _around(self, interval: tuple[float, float] | None) -> str:
        if interval is None:
            return ""
        low, high = map(self.metric.text, interval)
        return f" (95 % interval {low} to {high})"

    def _flattered(self, found: Flattery) -> str:
        def said(value: float) -> str:
            return f"{100 * value:.1f}" if self.metric.share else f"{value:.3g}"

        unit = " points" if self.metric.share else ""
        around = (
            "" if found.interval is None else f" (95 % interval {said(found.interval[0])} to {said(found.interval[1])})"
        )
        return f"{said(found.by)}{unit}{around}"

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        gap = self.flattery
        return {
            "tuning": str(self.folder),
            "report": str(self.folder / "report.html"),
            "metric": self.metric.key,
            "best": self.best.as_dict(),
            "recipe": str(self.folder / BEST_RECIPE),
            "run": None if self.run is None else str(self.run),
            "held_out": None if gap is None else {
                "score": or_none(gap.held_out),
                "interval": self.held_out.get("interval"),
                "images": self.held_out.get("total"),
            },
            "flatters_by": None if gap is None else or_none(gap.by),
            "flatters_interval": None if gap is None or gap.interval is None else list(gap.interval),
            "nested": None if self.nested is None else self.nested.as_dict(),
            "trials": [row.as_dict() for row in self.rows],
        }  # fmt: skip


def interval_of(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """The interval of a run's metrics; None where one is not known."""
    found = metrics.get("interval")
    if not isinstance(found, (list, tuple)) or len(found) != 2 or None in found:
        return None
    return float(found[0]), float(found[1])
