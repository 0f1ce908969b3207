"""One function a verb: call the job, put its answer into words and into JSON. Heavy imports wait for their verb."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from striate.errors import printable
from striate.progress import Progress


@dataclass(frozen=True)
class Answer:
    """What a verb shows: text for people, JSON for programs, and the exit code."""

    text: str
    json: dict[str, Any]
    code: int = 0


def _progress() -> Progress:
    from striate.cli.terminal import TerminalProgress

    return TerminalProgress(sys.stderr)


def train(chosen: argparse.Namespace) -> Answer:
    """`striate train`."""
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.train import train as job
    from striate.recipe import Recipe

    recipe = Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()
    recipe = recipe.with_settings(chosen.settings)
    if not (chosen.data or recipe.data):
        raise RequestError("train needs DATA: a folder of class folders, an .npz file, or a named set")
    run = job(
        chosen.data,
        out=chosen.out,
        recipe=recipe,
        net=chosen.net,
        strategy=chosen.strategy,
        epochs=chosen.epochs,
        seed=chosen.seed,
        progress=_progress(),
    )
    lines = [
        f"Accuracy {run.measured.words()}",
        f"Engine {run.metrics['engine']}; {run.metrics['seconds']:.1f} s in all",
        f"Report {run.folder / 'report.html'}",
        f"Model  {run.folder / 'model.safetensors'}",
        run.audit.last_line(),
    ]
    if "leaks" in run.metrics:
        accuracy = run.metrics["accuracy_without_leaks"]
        shown = "not measurable" if accuracy is None else f"{100 * accuracy:.1f} %"
        lines.insert(1, f"Without the {run.metrics['leaks']} held-out images that are also in training: {shown}")
    return Answer("\n".join(lines), run.as_dict())


def predict(chosen: argparse.Namespace) -> Answer:
    """`striate predict`."""
    from striate.jobs.predict import predict as job

    done = job(chosen.model, chosen.files, engine=chosen.engine, precision=chosen.precision, progress=_progress())
    lines, rows = [], []
    for answer in done.answers:
        order = (-answer.probabilities).argsort()[:3]
        ranked = [(done.classifier.classes[place], float(answer.probabilities[place])) for place in order]
        shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ranked)
        lines.append(f"{printable(answer.source)}: {shown}")
        full = dict(zip(done.classifier.classes, map(float, answer.probabilities), strict=True))
        top = full if len(full) <= 100 else dict(ranked)
        rows.append(
            {"file": answer.source, "label": answer.label, "probability": answer.probability, "probabilities": top}
        )
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    failed = [{"file": path, "why": why} for path, why in done.failed]
    # A wrong request when nothing could be used; failed work when some was lost.
    code = 0 if not done.failed else (1 if done.answers else 2)
    return Answer("\n".join(lines), {"predictions": rows, "failed": failed}, code)


def evaluate(chosen: argparse.Namespace) -> Answer:
    """`striate evaluate`."""
    from striate.jobs.predict import evaluate as job

    done = job(
        chosen.model,
        chosen.data,
        part=chosen.part,
        engine=chosen.engine,
        precision=chosen.precision,
        progress=_progress(),
    )
    lines = [f"Accuracy {done.measured.words()}", f"Balanced accuracy {100 * done.measured.balanced_accuracy:.1f} %"]
    classes = done.as_dict()["classes"]
    width = max(len(printable(name)) for name in classes)
    lines += [
        f"  {printable(name):{width}}  {100 * row['recall']:5.1f} % of {row['count']}" for name, row in classes.items()
    ]
    return Answer("\n".join([*lines, done.audit.last_line()]), done.as_dict())


def audit(chosen: argparse.Namespace) -> Answer:
    """`striate audit`."""
    from striate.jobs.audit import audit as job

    found = job(chosen.data, progress=_progress())
    lines = [f"{len(found.usable):,} usable images in {len(found.classes)} classes"]
    for name, counts in found.counts().items():
        lines.append(
            f"  {printable(name)}: " + ", ".join(f"{count:,} {part}" for part, count in sorted(counts.items()))
        )
    lines += [finding.line() for finding in found.findings]
    return Answer("\n".join([*lines, found.last_line()]), found.as_dict())


def export(chosen: argparse.Namespace) -> Answer:
    """`striate export`."""
    from striate.jobs.export import export as job

    done = job(chosen.model, to=chosen.to, out=chosen.out, images=chosen.images, progress=_progress())
    text = (
        f"Wrote {done.path}: uint8 RGB images [N, height, width, 3] in, probabilities [N, {done.classes}] out.\n"
        f"On {done.images} images it gives the answers of striate predict: "
        f"top-1 agrees on {100 * done.agreement:.1f} %, probabilities are within {done.difference:.4f}."
    )
    return Answer(text, done.as_dict())


def nets(chosen: argparse.Namespace) -> Answer:
    """`striate nets`."""
    import dataclasses

    from striate.jobs.catalogue import nets as job

    found = job(chosen.pattern)
    width = max(len(entry.name) for entry in found)
    lines = [f"{'name':{width}}  year  {'input':>11}  {'parameters':>12}  {'multiply-adds':>14}  weights"]
    for entry in found:
        height, across = entry.input_size
        shape = f"{entry.in_channels}x{height}x{across}"
        lines.append(
            f"{entry.name:{width}}  {entry.year}  {shape:>11}  {entry.parameters:>12,}  {entry.madds:>14,}  "
            f"{entry.weights or '-'}"
        )
    return Answer("\n".join(lines), {"nets": [dataclasses.asdict(entry) for entry in found]})


def show(chosen: argparse.Namespace) -> Answer:
    """`striate show`."""
    from striate.jobs.catalogue import show as job

    facts = job(chosen.net)
    height, width = facts["input_size"]
    lines = [
        f"{facts['name']}: {facts['title']} ({facts['year']})",
        facts["paper"],
        f"{facts['parameters']:,} parameters, {facts['madds']:,} multiply-adds "
        f"at {facts['in_channels']}x{height}x{width}",
        "",
        facts["table"].rstrip(),
        "",
        f"{'stage':12}  {'output':>12}  {'parameters':>12}  {'multiply-adds':>14}",
    ]
    for row in facts["stages"]:
        shape = "x".join(str(side) for side in row["output"])
        lines.append(f"{row['name']:12}  {shape:>12}  {row['parameters']:>12,}  {row['madds']:>14,}")
    return Answer("\n".join(lines), facts)
