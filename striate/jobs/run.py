"""A finished run: writing its folder, and the value that `striate.train` returns."""

from __future__ import annotations

import dataclasses
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from striate.data.audit.audit import Audit
from striate.data.sources.base import Source
from striate.data.splits import split_csv
from striate.inference.predictor import Predictor
from striate.jobs.reporting.run_report import run_report
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.metrics import metrics_of
from striate.learning.outcomes import OUTCOMES, outcomes_csv
from striate.learning.planning import Plan
from striate.learning.result import TrainResult
from striate.learning.run_folder import MODEL, RECIPE, REPORT
from striate.model import Model, write
from striate.report.page import render
from striate.storage import json_text
from striate.tasks import Evaluation

REMARKS = 2  # on the training curve, printed after training; the report has all of them


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its folder, the plan and its reasons, the result, and the metrics as JSON values."""

    folder: Path
    plan: Plan
    result: TrainResult
    metrics: dict[str, Any]

    @property
    def model(self) -> Model:
        """The model as written to the run folder."""
        return self.result.model

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation on held-out images."""
        return self.result.evaluation

    @property
    def audit(self) -> Audit:
        """The audit of the data."""
        return self.result.split.audit

    @property
    def predictor(self) -> Predictor:
        """A predictor of the model."""
        return Predictor(self.model)

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "run": str(self.folder),
            "model": str(self.folder / MODEL),
            "report": str(self.folder / REPORT),
            "net": self.model.net,
            "strategy": self.model.strategy,
            "why": self.plan.why,
            "classes": list(self.model.classes),
            "images": len(self.audit.usable),
            "set_aside": len(self.audit.set_aside),
            **self.metrics,
        }


def written(result: TrainResult, source: Source, plan: Plan, context: RunContext, extensions: Extensions) -> Run:
    """Write all files of the run: the model last, because its existence marks a finished run."""
    folder, clock, recipe, split = context.folder, context.clock, result.recipe, result.split
    metrics = metrics_of(result)
    training = {
        "data": recipe.data.path,
        "images": len(split.rows("train")),
        "seed": recipe.seed,
        **result.facts,
        **extensions.names(),
    }
    model = dataclasses.replace(result.model, metrics=metrics, training=training, versions=_versions())
    result = dataclasses.replace(result, model=model)
    folder.write_text(RECIPE, recipe.toml())
    folder.write_text("audit.json", json_text(split.audit.as_dict(), indent=1))
    folder.write_text("split.csv", split_csv(split.audit, split.parts, split.folds))
    folder.write_text(OUTCOMES, outcomes_csv(split, result.evaluation))
    with context.stage("write the report"):
        folder.write_text(REPORT, render(run_report(source, plan, result, dict(clock.stages))))
    with context.stage("write the model"):
        write(folder.path / MODEL, model)
    remarks = result.evidence.remarks
    if result.history:
        metrics = metrics | {"remarks": [remark.kind for remark in remarks]}
    metrics = metrics | {"seconds": round(clock.total, 3)}
    context.log("done", {**metrics, "stages": {name: round(seconds, 3) for name, seconds in clock.stages.items()}})
    for line in (
        *(remark.line() for remark in remarks[:REMARKS]),
        *result.notes,
    ):
        context.progress.say(line)
    return Run(folder.path, plan, result, metrics)


def _versions() -> dict[str, str]:
    """Versions of the packages that affect predictions, read without importing them."""
    found = {"python": platform.python_version()}
    for name in ("striate", "numpy", "pillow", "torch", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
