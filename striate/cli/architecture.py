"""`striate tune --architecture`: its options, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

from striate.cli.answer import Answer, terminal_progress
from striate.errors import RequestError

# Options of both searches; those below are of this one alone.
SHARED = ("data", "out", "space", "method", "trials", "seed")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this search; unset, they are None."""
    group = parser.add_argument_group(
        "architecture search",
        "With --architecture, --space is mobile (stages of inverted residual blocks,\n"
        "default) or cells, --method evolution (default), reinforcement or random, and\n"
        "--trials those of that method, and as many of random search (default: 24).\n"
        "The same command again goes on with a search that was stopped.",
    )
    group.add_argument("--architecture", action="store_true", help="search for a network instead of a recipe")
    group.add_argument(
        "--vary", nargs="+", metavar="CHOICE",
        help="of mobile, what is searched: kernel, expansion, se, layers, width (default: all)",
    )  # fmt: skip
    group.add_argument("--cost", help="madds (default) or latency, measured on this machine")
    group.add_argument("--target", type=float, metavar="T", help="of the cost: multiply-adds, or milliseconds")
    group.add_argument("--image", type=int, metavar="PIXELS", help="side of the images (default: theirs, up to 64)")
    group.add_argument("--channels", type=int, help="of the first stage (default: by the size of the images)")
    group.add_argument("--images", type=int, help="training images of a trial (default: 2000)")
    group.add_argument("--epochs", type=int, help="of a trial (default: 3)")
    group.add_argument("--final-epochs", type=int, help="of the final trainings (default: 20)")
    group.add_argument("--baseline", metavar="NET", help="network to compare with (default: one of about that cost)")


def given(chosen: argparse.Namespace) -> dict[str, Any]:
    """The options of this search alone that are given."""
    names = ("vary", "cost", "target", "image", "channels", "images", "epochs", "final_epochs", "baseline")
    return {name: getattr(chosen, name) for name in names if getattr(chosen, name) is not None}


def run(chosen: argparse.Namespace) -> Answer:
    """The search."""
    from striate.errors import printable
    from striate.jobs.search_architecture import search_architecture as job
    from striate.sections.wording import percent

    own, shared = given(chosen), {name: getattr(chosen, name) for name in SHARED if getattr(chosen, name) is not None}
    if not shared.pop("data", None):
        raise RequestError("tune --architecture needs DATA")
    if own.get("cost") == "latency" and "target" in own:
        own["target"] /= 1000
    done = job(chosen.data, **shared, **own, progress=terminal_progress())
    lines = []
    for study in done.studies:
        best = study.best
        told = "all failed" if best is None else f"best reward {best.reward:.3f}, accuracy {percent(best.accuracy)}"
        lines.append(f"{study.sampler}: {len(study.trials)} trials, {told} on validation images")
    lines += ["", str(done.options["table"]), "On held-out images:"]
    for one in done.finalists:
        low, high = one.run.interval or (float("nan"), float("nan"))
        interval = f"{percent(low)} to {percent(high)}"
        lines.append(f"  {one.name} ({one.run.net}, {one.madds:,} multiply-adds): {percent(one.run.score)}, {interval}")
    folder = printable(str(done.folder))
    lines += ["", f"Network {folder}/found.toml", f"Model {folder}/found", f"Report {folder}/report.html"]
    return Answer("\n".join(lines), done.as_dict())
