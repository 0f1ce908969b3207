"""`striate tune`."""

from __future__ import annotations

import argparse

from striate.cli import architecture
from striate.cli.answer import SOURCES, Answer, terminal_progress
from striate.recipe.keys import STRATEGIES

HELP = "search a recipe or an architecture by trials on validation images, and train the best"
EXAMPLE = """striate tune photos/ --trials 50 --out tuning
  striate tune photos/ --architecture --trials 20 --out search"""


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
    parser.add_argument("--method", help="random (default), grid or tpe")
    parser.add_argument(
        "--trials", type=int, metavar="N", help="of all workers together (default: 50, or all points of a grid)"
    )
    parser.add_argument("--budget", metavar="TIME", help="no trial starts after this time, such as 30min or 2h")
    parser.add_argument("--folds", type=int, metavar="K", help="judge trials by K folds instead of one validation part")
    parser.add_argument(
        "--nested", type=int, metavar="K", help="K outer folds, each with a search: an unbiased score of the procedure"
    )
    parser.add_argument(
        "--pruner", help="end poor trials early, by halving (successive halving) or hyperband (scratch, finetune)"
    )  # fmt: skip
    parser.add_argument("--points", type=int, metavar="N", help="of each range in a grid (default: 5)")
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
    architecture.arguments(parser)


# Options of the search for a recipe alone.
_RECIPE_ONLY = (
    "budget", "folds", "nested", "pruner", "points", "storage", "study", "net", "strategy", "recipe", "resume",
)  # fmt: skip


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import RequestError

    given = {name: getattr(chosen, name) for name in _RECIPE_ONLY if getattr(chosen, name) not in (None, "")}
    given |= {"set": chosen.assignments} if chosen.assignments else {}
    others = given if chosen.architecture else architecture.given(chosen)
    if others:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        search = "search for a recipe, and not with" if chosen.architecture else "search for an architecture: add"
        raise RequestError(f"{named}: only of the {search} --architecture")
    return architecture.run(chosen) if chosen.architecture else _recipe_search(chosen)


def _recipe_search(chosen: argparse.Namespace) -> Answer:
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.tune import tune as job
    from striate.recipe import Recipe

    progress = terminal_progress()
    if chosen.resume:
        settled = ("out", "space", "method", "folds", "nested", "pruner", "points", "study", "net", "strategy", "seed",
                   "recipe")  # fmt: skip
        if any(getattr(chosen, name) not in (None, "") for name in ("data", *settled)) or chosen.assignments:
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
        how = {name: getattr(chosen, name) for name in ("method", "pruner", "points")}
        done = job(
            chosen.data or None,
            out=chosen.out,
            space=chosen.space,
            trials=chosen.trials,
            budget=chosen.budget,
            folds=chosen.folds,
            nested=chosen.nested,
            storage=chosen.storage,
            study=chosen.study,
            net=chosen.net,
            strategy=chosen.strategy,
            seed=chosen.seed,
            recipe=recipe,
            progress=progress,
            **{name: value for name, value in how.items() if value is not None},
        )
    lines = [*done.lines(), f"Recipe {done.folder / 'best.toml'}", f"Report {done.folder / 'report.html'}"]
    if done.run is not None:
        lines.append(f"Model  {done.run / 'model.safetensors'}")
    return Answer("\n".join(lines), done.as_dict())
