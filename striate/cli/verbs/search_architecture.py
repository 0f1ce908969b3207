"""`striate search-architecture`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, terminal_progress

HELP = "search for a network's architecture on your data"
EXAMPLE = "striate search-architecture digits --trials 20 --out search"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument(
        "--out", metavar="FOLDER", help="folder for the results; the one of a stopped search continues it"
    )
    parser.add_argument(
        "--space", default="mobile", help="mobile (stages of inverted residual blocks, default) or cells"
    )
    parser.add_argument(
        "--vary", nargs="+", default=[], metavar="CHOICE",
        help="of mobile, what is searched: kernel, expansion, se, layers, width (default: all)",
    )  # fmt: skip
    parser.add_argument("--sampler", default="evolution", help="evolution (default), reinforcement or random")
    parser.add_argument("--trials", type=int, default=24, help="of the sampler, and as many of random search")
    parser.add_argument("--cost", default="madds", help="madds (default) or latency, measured on this machine")
    parser.add_argument("--target", type=float, metavar="T", help="of the cost: multiply-adds, or milliseconds")
    parser.add_argument("--image", type=int, metavar="PIXELS", help="side of the images (default: theirs, up to 64)")
    parser.add_argument("--channels", type=int, help="of the first stage (default: by the size of the images)")
    parser.add_argument("--images", type=int, default=2000, help="training images of a trial (default: 2000)")
    parser.add_argument("--epochs", type=int, default=3, help="of a trial (default: 3)")
    parser.add_argument("--final-epochs", type=int, default=20, help="of the final trainings (default: 20)")
    parser.add_argument("--baseline", metavar="NET", help="network to compare with (default: one of about that cost)")
    parser.add_argument("--seed", type=int, default=0, help="random seed, also of the split (default: 0)")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import printable
    from striate.jobs.search_architecture import search_architecture as job
    from striate.sections.wording import percent

    latency = chosen.cost == "latency" and chosen.target is not None
    done = job(
        chosen.data,
        out=chosen.out,
        space=chosen.space,
        vary=chosen.vary,
        sampler=chosen.sampler,
        trials=chosen.trials,
        cost=chosen.cost,
        target=chosen.target / 1000 if latency else chosen.target,
        image=chosen.image,
        channels=chosen.channels,
        images=chosen.images,
        epochs=chosen.epochs,
        final_epochs=chosen.final_epochs,
        baseline=chosen.baseline,
        seed=chosen.seed,
        progress=terminal_progress(),
    )
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
