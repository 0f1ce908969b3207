"""Train: look at the data, learn from it, measure, and leave a run folder."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.audit import Audit
from striate.data.opening import open_source
from striate.data.sources import Source
from striate.data.splits import leaked, split_csv
from striate.inference.classifier import Classifier
from striate.jobs.clock import Clock
from striate.jobs.learn_features import learn_features
from striate.jobs.learned import Learned, Log
from striate.jobs.measure import Measured, measure
from striate.jobs.run_folder import RunFolder, next_free
from striate.jobs.run_report import run_report
from striate.model import Model, write
from striate.progress import Progress
from striate.recipe import Recipe
from striate.report.page import render
from striate.transfer.strategy import Glance, Plan, choose, glance


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: where it lies, its model and what was measured."""

    folder: Path
    model: Model
    measured: Measured
    audit: Audit
    plan: Plan
    metrics: dict[str, Any]

    @property
    def classifier(self) -> Classifier:
        """The model, ready to predict."""
        return Classifier(self.model)

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON values."""
        return {
            "run": str(self.folder),
            "model": str(self.folder / "model.safetensors"),
            "report": str(self.folder / "report.html"),
            "net": self.model.net,
            "strategy": self.model.strategy,
            "why": self.plan.why,
            "classes": list(self.model.classes),
            "images": len(self.audit.usable),
            "set_aside": len(self.audit.set_aside),
            **self.metrics,
        }


def train(
    data: str | os.PathLike[str] = "",
    *,
    out: str | os.PathLike[str] | None = None,
    recipe: Recipe | None = None,
    net: str | None = None,
    strategy: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Learn a classifier from `data`: a folder of class folders, an .npz file, or a named set.

    `out`: the run folder, new or empty; by default a new one under runs/. `recipe` holds every choice; the arguments
    after it override its keys. Raises RequestError for what cannot be done as asked, WorkError where the work failed.
    """
    given = {"data": os.fspath(data) or None, "net": net, "strategy": strategy, "epochs": epochs, "seed": seed}
    asked = {key: value for key, value in given.items() if value is not None}
    recipe = Recipe.from_mapping(dataclasses.asdict(recipe or Recipe()) | asked)
    progress = progress or Progress()
    clock = Clock()
    with clock.stage("open the data"):
        source = open_source(recipe.data)
        seen = glance(source)
    plan = choose(seen, recipe.strategy, recipe.net)
    progress.say(f"{source.name}: {len(source.items):,} images in {len(source.task.names)} classes")
    progress.say(f"Strategy {plan.strategy} with {plan.net}: {plan.why}.")
    with RunFolder(Path(out) if out else next_free(source.name)) as folder:
        folder.log("plan", {"data": recipe.data, **dataclasses.asdict(plan)})
        learned = _learn(source, plan, seen, recipe, clock, progress, folder.log)
        ran = _as_run(recipe, source, plan, learned)
        return _leave(folder, source, plan, ran, learned, clock, progress)


def _learn(
    source: Source, plan: Plan, seen: Glance, recipe: Recipe, clock: Clock, progress: Progress, log: Log
) -> Learned:
    if plan.strategy == "features":
        return learn_features(source, plan, recipe, clock, progress)
    from striate.jobs.learn_scratch import learn_scratch  # imports torch

    return learn_scratch(source, plan, seen, recipe, clock, progress, log)


def _as_run(recipe: Recipe, source: Source, plan: Plan, learned: Learned) -> Recipe:
    """The recipe with every choice that was left open filled in, so that it runs the same again, from anywhere."""
    chosen: dict[str, Any] = {key: learned.facts[key] for key in ("epochs", "augment") if key in learned.facts}
    data = source.identity if Path(recipe.data).exists() else recipe.data  # a path, or the name of a set
    filled: dict[str, Any] = {"data": data, "net": plan.net, "strategy": plan.strategy, "precision": learned.precision}
    return dataclasses.replace(recipe, **filled, **chosen)


def _leave(
    folder: RunFolder, source: Source, plan: Plan, recipe: Recipe, learned: Learned, clock: Clock, progress: Progress
) -> Run:
    """Measure, and write everything that the run leaves."""
    found = learned.audit
    measured = measure(
        learned.measured_part, learned.probabilities, learned.labels(learned.measured_part), len(found.classes)
    )
    metrics = {**measured.as_dict(), "engine": learned.engine, "precision": learned.precision}
    metrics |= _without_leaks(learned, measured)
    provenance = {"data": recipe.data, "images": len(learned.rows("train")), "seed": recipe.seed, **learned.facts}
    model = dataclasses.replace(learned.model, metrics=metrics, training=provenance, versions=_versions())
    folder.write_text("recipe.toml", recipe.toml())
    folder.write_text("audit.json", json.dumps(found.as_dict(), indent=1))
    folder.write_text("split.csv", split_csv(found, learned.parts))
    with clock.stage("write the model"):
        write(folder.path / "model.safetensors", model)
    with clock.stage("write the report"):
        page = run_report(source, plan, recipe, learned, measured, model, dict(clock.stages))
        folder.write_text("report.html", render(page))
    metrics = metrics | {"seconds": round(clock.total, 3)}
    folder.log("done", {**metrics, "stages": {name: round(seconds, 3) for name, seconds in clock.stages.items()}})
    for finding in found.findings:
        progress.say(finding.line())
    for note in learned.notes:
        progress.say(note)
    return Run(folder.path, model, measured, found, plan, metrics)


def _without_leaks(learned: Learned, measured: Measured) -> dict[str, Any]:
    """The accuracy on held-out images that are not also in training, where there are any such leaks."""
    if not measured.total:
        return {}
    clean = ~leaked(learned.audit, learned.parts, learned.measured_part)
    if clean.all():
        return {}
    right = measured.probabilities[clean].argmax(axis=1) == measured.labels[clean]
    accuracy = float(right.mean()) if len(right) else None
    return {"leaks": int((~clean).sum()), "accuracy_without_leaks": accuracy, "total_without_leaks": int(np.sum(clean))}


def _versions() -> dict[str, str]:
    """Versions of what decides the answers, read without importing anything."""
    found = {"python": platform.python_version()}
    for name in ("striate", "numpy", "pillow", "torch", "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
