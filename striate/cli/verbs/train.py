"""`striate train`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import LAYOUT_HELP, LAYOUTS, SOURCES, Answer, net_with_weights, terminal_progress
from striate.recipe.keys import LINEAR_HEADS, STRATEGIES, VOTING_HEADS
from striate.recipe.optimizers import OPTIMIZERS
from striate.recipe.schedules import SCHEDULES

if TYPE_CHECKING:
    from striate.recipe import Recipe

# Flags, and the recipe keys that they set.
FLAGS = {
    "net": "net.name", "strategy": "strategy", "epochs": "train.epochs", "lr": "optimizer.lr", "batch": "train.batch",
    "optimizer": "optimizer.name", "schedule": "schedule.name", "patience": "train.patience",
    "overfit_batch": "train.overfit_batch", "seed": "seed", "folds": "data.folds", "split": "data.split",
    "decisions": "data.decisions", "balance": "data.balance", "ood": "data.ood",
    "layout": "data.layout", "learning_curve": "head.learning_curve", "head": "head.kind",
}  # fmt: skip
PAPER = "paper"  # instead of a recipe file

HELP = "train a model and write a run folder"
EXAMPLE = "striate train photos/ --out run"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", nargs="?", default="", help=SOURCES)
    parser.add_argument(
        "--out", metavar="RUN", help="new or empty folder for the results (default: a new one under runs/)"
    )
    _keys(parser)
    parser.add_argument(
        "--resume", metavar="RUN", help="resume a run that was stopped or killed, with identical results"
    )
    parser.add_argument("--tensorboard", action="store_true", help="also write the training curves for TensorBoard")
    parser.add_argument(
        "--recipe",
        metavar="FILE",
        help="recipe file, such as an earlier run's recipe.toml; 'paper': that of the paper of --net",
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="assignments",
        help="set a recipe key, such as train.batch=32; repeatable; 'striate recipe' lists them",
    )


def _keys(parser: argparse.ArgumentParser) -> None:
    """The flags that set a key of the recipe."""
    parser.add_argument(
        "--net",
        help="network, as 'striate nets' lists them, net file (.toml, .prototxt), run folder, or your own, as "
        "FILE.py:CLASS (default: chosen)",
    )
    parser.add_argument(
        "--weights", metavar="LIBRARY",
        help="start from this library's weights of --net, which 'striate fetch' has brought: torchvision, timm, ...",
    )  # fmt: skip
    parser.add_argument(
        "--net-option", metavar="NAME=VALUE", action="append", default=[],
        help="an option of the network's constructor, such as width=0.5; repeatable (scratch)",
    )  # fmt: skip
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--strategy", choices=["auto", "quick", "best", *STRATEGIES], help="how to train (default: auto)")
    ways.add_argument(
        "--quick",
        action="store_const",
        const="quick",
        dest="strategy",
        help="seconds: a linear head on pretrained features; as --strategy quick",
    )
    ways.add_argument(
        "--best", action="store_const", const="best", dest="strategy",
        help="minutes or hours: fine-tune the pretrained network; as --strategy best",
    )  # fmt: skip
    parser.add_argument("--epochs", type=int, help="passes over the training images (scratch, finetune)")
    parser.add_argument("--lr", help="peak learning rate, or 'auto': found by a range test (default: the optimizer's)")
    parser.add_argument("--batch", type=int, help="batch size (default: 64)")
    parser.add_argument("--optimizer", choices=list(OPTIMIZERS), help="optimizer (default: nesterov)")
    parser.add_argument("--schedule", choices=list(SCHEDULES), help="how the learning rate changes (default: cosine)")
    parser.add_argument(
        "--patience", type=int, metavar="EPOCHS",
        help="early stopping: epochs without improvement; the weights of the best epoch are restored",
    )  # fmt: skip
    parser.add_argument(
        "--overfit-batch", type=_images, nargs="?", const=16, metavar="IMAGES",
        help="before the run, check that a small batch can be overfitted (default: 16 images)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="random seed, also of the split (default: 0)")
    parser.add_argument("--folds", type=int, metavar="K", help="K-fold cross-validation: each image is evaluated once")
    parser.add_argument("--layout", choices=LAYOUTS, help=LAYOUT_HELP)
    parser.add_argument("--split", metavar="FILE", help="split.csv of an earlier run, to reuse its split")
    parser.add_argument(
        "--decisions", metavar="FILE", help="images to drop, relabel or move: see 'striate audit --help'"
    )
    parser.add_argument("--balance", choices=["none", "weights", "sampling"], help="balance the classes")
    parser.add_argument("--ood", metavar="FOLDER", help="out-of-distribution images: fit and evaluate OOD detection")
    parser.add_argument(
        "--head", choices=[*LINEAR_HEADS, *VOTING_HEADS, "auto"],
        help="classifier on the features; auto: chosen by cross-validation; knn, tree and forest are not linear: no "
        "fine-tuning, no export (features, finetune; default: logistic)",
    )  # fmt: skip
    parser.add_argument(
        "--learning-curve", action="store_const", const=True,
        help="would more data help? also train on parts of the data, and extrapolate (features)",
    )  # fmt: skip
    parser.add_argument(
        "--augment", metavar="KEY=VALUE", nargs="+", default=[],
        help="keys of [augment], such as rotate=10, optionally after a preset (scratch, finetune): see 'striate recipe "
        "augment'",
    )  # fmt: skip


def _images(given: str) -> int:
    if not given.isdigit():
        raise argparse.ArgumentTypeError(f"takes a number of images, not {given!r}; put the data before it")
    return int(given)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.reporting.findings import finding_lines
    from striate.jobs.train import train as job
    from striate.nets.catalog import is_import_path
    from striate.recipe import Recipe

    if chosen.recipe == PAPER:
        recipe = _of_paper(chosen)
    else:
        recipe = Recipe.from_file(Path(chosen.recipe)) if chosen.recipe else Recipe()
    given = _given(chosen)
    recipe = recipe.updated(given)
    if chosen.resume:
        if is_import_path(given.get("net.name", "")):  # imported, so that the run can be resumed
            del given["net.name"]
        if chosen.data or chosen.out or chosen.recipe or given:
            raise RequestError("--resume RUN uses the recipe that the run was started with, and takes no other option")
    elif not (chosen.data or recipe.data.path):
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
    if run.result.evidence.learning_curve:
        lines.append(run.result.evidence.learning_curve.line())
    lines += [
        f"Engine {run.metrics['engine']}; {run.metrics['seconds']:.1f} s in total",
        f"Report {run.folder / 'report.html'}",
        f"Model  {run.folder / 'model.safetensors'}",
        run.audit.last_line(),
    ]
    return Answer("\n".join(lines), run.as_dict(), after=tuple(finding_lines(run.audit.findings)))


def _given(chosen: argparse.Namespace) -> dict[str, Any]:
    """The recipe keys set by the command line; the flag of a key overrides --set."""
    from striate.recipe.changing import assigned, augment_keys, options
    from striate.weights.models import net_keys

    given = assigned(chosen.assignments)
    given |= {f"augment.{name}": value for name, value in augment_keys(chosen.augment).items()}
    given |= {f"net.options.{name}": value for name, value in options(chosen.net_option).items()}
    given |= {key: getattr(chosen, flag) for flag, key in FLAGS.items() if getattr(chosen, flag) is not None}
    if "net.name" in given:
        given = net_keys(given.pop("net.name")) | given
    return given | ({"net.name": net_with_weights(chosen)} if chosen.weights else {})


def _of_paper(chosen: argparse.Namespace) -> Recipe:
    from striate.errors import RequestError
    from striate.nets.papers import paper_recipe

    net = _given(chosen).get("net.name")
    if not net:
        raise RequestError(
            "--recipe paper needs --net, the network of the paper (for a file of this name: --recipe ./paper)"
        )
    return paper_recipe(net)
