"""`striate tune`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, progress_of
from striate.recipe.keys import STRATEGIES

HELP = "search hyper-parameters by trials on validation images, and train the best recipe"
EXAMPLE = "striate tune photos/ --trials 50 --out tuning"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", nargs="?", default="", help=SOURCES)
    parser.add_argument(
        "--out", metavar="TUNING",
        help="folder for the results, new, empty or of the same search, which is joined (default: under tunings/)",
    )  # fmt: skip
    parser.add_argument(
        "--space", metavar="FILE",
        help='TOML file of keys with {low=, high=, log=}, a list of values, or "auto" (default: by the strategy)',
    )  # fmt: skip
    parser.add_argument("--method", choices=["random", "grid", "tpe"], default="random", help="default: random")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="of all workers together (default: 50, or all points of a grid)"
    )
    parser.add_argument("--budget", metavar="TIME", help="no trial starts after this time, such as 30min or 2h")
    parser.add_argument("--folds", type=int, metavar="K", help="judge trials by K folds instead of one validation part")
    parser.add_argument(
        "--nested", type=int, metavar="K", help="K outer folds, each with a search: an unbiased score of the procedure"
    )
    parser.add_argument(
        "--pruner", choices=["none", "halving", "hyperband"], default="none",
        help="end poor trials early, by successive halving or Hyperband (scratch, finetune; default: none)",
    )  # fmt: skip
    parser.add_argument("--points", type=int, default=5, metavar="N", help="of each range in a grid (default: 5)")
    parser.add_argument(
        "--storage", metavar="FILE|URL", default="",
        help="where workers share trials: a journal file or a database URL such as postgresql://user@host/name "
        "(default: a journal in TUNING)",
    )  # fmt: skip
    parser.add_argument("--study", metavar="NAME", default="", help="the name in the storage (default: that of TUNING)")
    parser.add_argument("--net", help="network, as in striate train (default: chosen)")
    parser.add_argument("--strategy", choices=["auto", "quick", "best", *STRATEGIES], help="as in striate train")
    parser.add_argument("--seed", type=int, help="random seed, also of the split and the trials (default: 0)")
    parser.add_argument("--recipe", metavar="FILE", help="recipe file: what is not searched")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments",
        help="set a recipe key that is not searched; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        metavar="TUNING",
        help="go on with a search, or join it; with --trials, --budget, and --storage where its URL needs a password",
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.tune import tune as job
    from striate.recipe import Recipe

    progress = progress_of(chosen)
    if chosen.resume:
        settled = ("data", "out", "space", "folds", "nested", "study", "net", "strategy", "seed", "recipe")
        if any(getattr(chosen, name) not in (None, "") for name in settled) or chosen.assignments:
            raise RequestError("--resume TUNING goes on as the search was started: give only --trials and --budget")
        done = job(
            resume=chosen.resume,
            trials=chosen.trials,
            budget=chosen.budget,
            storage=chosen.storage,
            progress=progress,
        )
    else:
        recipe = Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()
        recipe = recipe.assigned(chosen.assignments)
        if not (chosen.data or recipe.data.path):
            raise RequestError(f"tune needs DATA: a {SOURCES}")
        done = job(
            chosen.data or None,
            out=chosen.out,
            space=chosen.space,
            method=chosen.method,
            trials=chosen.trials,
            budget=chosen.budget,
            folds=chosen.folds,
            nested=chosen.nested,
            pruner=chosen.pruner,
            points=chosen.points,
            storage=chosen.storage,
            study=chosen.study,
            net=chosen.net,
            strategy=chosen.strategy,
            seed=chosen.seed,
            recipe=recipe,
            progress=progress,
        )
    lines = [*done.lines(), f"Recipe {done.folder / 'best.toml'}", f"Report {done.folder / 'report.html'}"]
    if done.run is not None:
        lines.append(f"Model  {done.run / 'model.safetensors'}")
    return Answer("\n".join(lines), done.as_dict())
