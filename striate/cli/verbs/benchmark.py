"""`striate benchmark`."""

from __future__ import annotations

import argparse

from striate.cli.answer import SOURCES, Answer, progress_of

HELP = "compare networks under an equal budget"
EXAMPLE = "striate benchmark lenet5_plain resnet20 --data digits --budget 20epochs --out bench"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("nets", nargs="*", metavar="NET", help="networks from random weights: names, or FILE.py:CLASS")
    parser.add_argument("--data", required=True, help=SOURCES)
    parser.add_argument(
        "--budget", metavar="AMOUNT",
        help="for each net and seed: a time (10min), epochs (20epochs) or multiply-adds (50Tmadds); "
        "default: multiply-adds, sized so that everything takes about ten minutes",
    )  # fmt: skip
    parser.add_argument("--match", metavar="madds=N", help="scale every net's width to so many multiply-adds, as 300M")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="three or more (default: 3)")
    parser.add_argument(
        "--pretrained", nargs="+", default=[], metavar="NET",
        help="networks that start from published weights, compared among themselves",
    )  # fmt: skip
    parser.add_argument("--recipe", metavar="FILE|paper", help="recipe of all nets; paper: each net's own of its paper")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments",
        help="set a recipe key for all nets; repeatable",
    )  # fmt: skip
    parser.add_argument("--out", metavar="BENCH", help="folder for the results; the same command goes on with one")
    parser.add_argument("--dry", action="store_true", help="only print the plan and how long it takes")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from pathlib import Path

    from striate.errors import RequestError, printable
    from striate.jobs.benchmark import REPORT, benchmark
    from striate.recipe import Recipe

    nets, pretrained = (list(map(_imported, names)) for names in (chosen.nets, chosen.pretrained))
    if chosen.recipe == "paper" and chosen.assignments:
        raise RequestError("--recipe paper trains each net as its paper did: leave out --set")
    recipe: Recipe | str = "paper"
    if chosen.recipe != "paper":
        recipe = (Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()).assigned(chosen.assignments)
    done = benchmark(
        nets,
        chosen.data,
        out=chosen.out,
        budget=chosen.budget,
        match=chosen.match,
        seeds=chosen.seeds,
        pretrained=pretrained,
        recipe=recipe,
        dry=chosen.dry,
        progress=progress_of(chosen),
    )
    lines = [printable(line) for line in done.lines()]
    if done.folder is not None:
        lines.append(f"Report {printable(str(done.folder / REPORT))}")
    return Answer("\n".join(lines), done.as_dict())


def _imported(net: str) -> str:
    """The name of a net; the user's own is imported."""
    if ":" not in net:
        return net
    from striate.nets.own import import_net

    return import_net(net)
