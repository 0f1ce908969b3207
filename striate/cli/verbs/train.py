"""`striate train`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, terminal_progress

HELP = "learn a model and leave a run folder"
EXAMPLE = "striate train photos/ --out run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("data", nargs="?", default="", help=SOURCES)
    parser.add_argument(
        "--out", metavar="RUN", help="new or empty folder for the results (default: a new one under runs/)"
    )
    parser.add_argument("--net", help="network, as 'striate nets' lists them (default: chosen)")
    parser.add_argument("--strategy", choices=["auto", "features", "scratch"], help="how to learn (default: auto)")
    parser.add_argument("--epochs", type=int, help="passes over the training images (scratch)")
    parser.add_argument("--seed", type=int, help="seed of the split and of every draw (default: 0)")
    parser.add_argument("--recipe", metavar="FILE", help="recipe.toml of an earlier run, or your own")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="settings", help="a recipe key; repeatable"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
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
        progress=terminal_progress(),
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
