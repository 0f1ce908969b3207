"""`striate scale`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from striate.cli.answer import SOURCES, Answer, progress_of

if TYPE_CHECKING:
    from striate.jobs.scale import Scaling

HELP = "scale a network by compound scaling, or search for its constants by training"
EXAMPLE = "striate scale efficientnet_b0 --phi 1 2 3"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("net", help="a network with the options width and depth, or a net file such as found.toml")
    parser.add_argument("--phi", type=int, nargs="+", metavar="N", help="how many steps of scaling (default: 0 to 7)")
    parser.add_argument(
        "--constants", type=float, nargs=3, metavar=("ALPHA", "BETA", "GAMMA"),
        help="bases of depth, width and resolution (default: the published 1.2 1.1 1.15)",
    )  # fmt: skip
    parser.add_argument(
        "--grid", action="store_true", help="grid search of the constants at phi = 1, with training; needs --data"
    )
    parser.add_argument("--data", help=f"of --grid: {SOURCES}")
    parser.add_argument("--trials", type=int, default=8, help="of --grid: constants that are tried (default: 8)")
    parser.add_argument("--images", type=int, default=1000, help="of --grid: training images (default: 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="of --grid: of each training (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of --grid: random seed, also of the split (default: 0)")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import RequestError
    from striate.jobs.scale import scale as job

    if chosen.grid != (chosen.data is not None):
        raise RequestError("--grid trains scaled networks on --data, and --data is for --grid: give both or neither")
    done = job(
        chosen.net,
        phi=chosen.phi,
        constants=chosen.constants,
        data=chosen.data,
        trials=chosen.trials,
        images=chosen.images,
        epochs=chosen.epochs,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    return Answer("\n".join(_grid(done) if done.grid else _figures(done)), done.as_dict())


def _figures(done: Scaling) -> list[str]:
    alpha, beta, gamma = done.constants
    head = ("depth", "width", "resolution", "parameters", "multiply-adds")
    rows = [(f"{row.phi}", f"{row.depth:.3f}", f"{row.width:.3f}", *map("{:,}".format, row[3:])) for row in done.scaled]
    lines = [
        f"{done.net} by the formula: depth {alpha:g}^phi, width {beta:g}^phi, resolution {gamma:g}^phi; "
        f"alpha x beta^2 x gamma^2 = {done.constants.product:.3f}",
        *_aligned([("phi", *head), *rows]),
    ]
    if done.published:
        named = [
            (f"B{one.phi}", f"{one.depth:.1f}", f"{one.width:.1f}", *map("{:,}".format, one[4:7]))
            for one in done.published
        ]
        lines += ["", *_aligned([("published", *head), *named])]
    return lines


def _grid(done: Scaling) -> list[str]:
    from striate.sections.wording import percent

    base = done.grid[0]
    rows: list[Sequence[str]] = [
        ("alpha", "beta", "gamma", "product", "resolution", "parameters", "multiply-adds", "ratio", "accuracy", "95 %")
    ]
    for row in done.grid:
        found = row.constants
        named = ("base", "", "", "") if found is None else (*(f"{one:g}" for one in found), f"{found.product:.3f}")
        ratio = f"{row.scaled.madds / base.scaled.madds:.2f}"
        measured = (row.failed, "") if row.failed else (
            percent(row.accuracy), f"{percent(row.interval[0])} to {percent(row.interval[1])}"
        )  # fmt: skip
        rows.append((*named, f"{row.scaled.resolution}", f"{row.scaled.parameters:,}", f"{row.scaled.madds:,}", ratio,
                     *measured))  # fmt: skip
    alpha, beta, gamma = done.constants
    said = f"Best: alpha {alpha:g}, beta {beta:g}, gamma {gamma:g}"
    if done.close:
        said += f"; too close to call with {done.close} other" + ("s" if done.close > 1 else "")
    return [*_aligned(rows), "", f"{said}. The ratio differs from the product where channels and layers are rounded."]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
