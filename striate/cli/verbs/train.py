"""`striate train`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.answer import SOURCES, Answer, terminal_progress
from striate.recipe.settings import OPTIMIZERS

if TYPE_CHECKING:
    from striate.recipe import Recipe

# Recipe keys that have a flag of their own.
FLAGS = (
    "net", "strategy", "epochs", "seed", "folds", "split", "decisions", "balance", "strangers", "augment",
    "learning_rate", "batch", "optimizer", "patience", "sanity",
)  # fmt: skip
PAPER = "paper"  # in place of a recipe's file

HELP = "learn a model and leave a run folder"
EXAMPLE = "striate train photos/ --out run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("data", nargs="?", default="", help=SOURCES)
    parser.add_argument(
        "--out", metavar="RUN", help="new or empty folder for the results (default: a new one under runs/)"
    )
    parser.add_argument("--net", help="network, as 'striate nets' lists them (default: chosen)")
    parser.add_argument(
        "--strategy", choices=["auto", "features", "finetune", "scratch"], help="how to learn (default: auto)"
    )
    parser.add_argument("--epochs", type=int, help="passes over the training images (scratch, finetune)")
    parser.add_argument(
        "--lr", "--learning-rate", dest="learning_rate", metavar="RATE",
        help="peak learning rate, or 'auto' to have it found by a trial (default: the optimizer's own)",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, help="images a step (default: 64)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="what makes a step of a gradient (default: nesterov)")
    parser.add_argument(
        "--patience",
        type=int,
        metavar="EPOCHS",
        help="stop after so many epochs without a better one, and keep the best",
    )
    parser.add_argument(
        "--sanity", type=_images, nargs="?", const=16, metavar="IMAGES",
        help="before the run, check that a few images are learnt by heart (alone: 16)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="seed of the split and of every draw (default: 0)")
    parser.add_argument("--folds", type=int, metavar="K", help="cross-validate in K folds: each image measured once")
    parser.add_argument("--split", metavar="FILE", help="split.csv of an earlier run, to be split the same")
    parser.add_argument("--decisions", metavar="FILE", help="what to drop, relabel or move: see 'striate audit --help'")
    parser.add_argument("--balance", choices=["none", "weights", "sampling"], help="make rare classes count as others")
    parser.add_argument("--strangers", metavar="FOLDER", help="images of none of the classes: learn to say so")
    parser.add_argument(
        "--augment", help="how training images are varied: see 'striate augment --help' (scratch, finetune)"
    )
    parser.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was stopped or killed, as if it had not been"
    )
    parser.add_argument("--tensorboard", action="store_true", help="also leave the curves for TensorBoard")
    parser.add_argument(
        "--recipe", metavar="FILE", help="recipe.toml of an earlier run, your own, or 'paper': the paper's of --net"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="a key of recipe.toml, such as batch=32; repeatable",
    )


def _images(given: str) -> int:
    if not given.isdigit():
        raise argparse.ArgumentTypeError(f"takes a number of images, not {given!r}; what to learn from goes before it")
    return int(given)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.train import train as job
    from striate.recipe import Recipe

    if chosen.recipe == PAPER:
        recipe = _of_paper(chosen)
    else:
        recipe = Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()
    given = {key: getattr(chosen, key) for key in FLAGS if getattr(chosen, key) is not None}
    recipe = recipe.with_settings(chosen.settings).changed(given)
    if chosen.resume:
        if chosen.data or chosen.out or chosen.recipe or chosen.settings or given:
            raise RequestError(
                "--resume RUN goes on with the recipe that the run was begun with, and takes no other option"
            )
    elif not (chosen.data or recipe.data):
        raise RequestError(f"train needs DATA: a {SOURCES}")
    progress = terminal_progress()
    if chosen.resume:
        run = job(resume=chosen.resume, tensorboard=chosen.tensorboard, progress=progress)
    else:
        run = job(chosen.data, out=chosen.out, recipe=recipe, tensorboard=chosen.tensorboard, progress=progress)
    headline, *details = run.evaluation.lines()
    lines = [headline]
    if "leaks" in run.metrics:
        score = run.metrics["score_without_leaks"]
        shown = "not measurable" if score is None else run.evaluation.task.metric.text(score)
        lines.append(f"Without the {run.metrics['leaks']} held-out images that are also in training: {shown}")
    lines += details
    if run.result.cross_validation and run.metrics["folds"]["interval"]:
        facts, metric = run.metrics["folds"], run.evaluation.task.metric
        low, high = (metric.text(side) for side in facts["interval"])
        lines.append(
            f"Folds {metric.text(facts['mean'])} on average of {len(facts['scores'])} (95 % interval {low} to {high})"
        )
    if run.result.evidence.ood:
        facts = run.metrics["ood"]
        lines.append(
            f"OOD detection AUROC {facts['auroc']:.3f}: {100 * facts['ood_rejected']:.1f} % of {facts['images']} "
            f"rejected, {100 * facts['in_distribution_accepted']:.1f} % of the in-distribution images accepted"
        )
    lines += [
        f"Engine {run.metrics['engine']}; {run.metrics['seconds']:.1f} s in all",
        f"Report {run.folder / 'report.html'}",
        f"Model  {run.folder / 'model.safetensors'}",
        run.audit.last_line(),
    ]
    return Answer("\n".join(lines), run.as_dict())


def _of_paper(chosen: argparse.Namespace) -> Recipe:
    from striate.errors import RequestError
    from striate.nets.papers import paper_recipe
    from striate.recipe import Recipe

    net = chosen.net or Recipe().with_settings(chosen.settings).net
    if not net:
        raise RequestError("--recipe paper needs --net: the network whose paper is meant (a file: --recipe ./paper)")
    return paper_recipe(net)
