"""`striate convert`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer

HELP = "convert a network described without code: a net file (.toml), Caffe's prototxt or Keras's JSON"
EXAMPLE = "striate convert lenet.prototxt --out lenet.toml"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "file", metavar="FILE", help="net file (.toml), prototxt or JSON of Keras; weights are not converted"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="what to write, by its ending")
    parser.add_argument(
        "--input", type=int, nargs=3, metavar=("CHANNELS", "HEIGHT", "WIDTH"),
        help="shape of an image, for a file that does not say it",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import printable
    from striate.jobs.convert import convert

    found = convert(chosen.file, chosen.out, shape=tuple(chosen.input) if chosen.input else None)
    shape = "x".join(str(side) for side in found.shape)
    what = f"{found.name}: {found.rows} rows, images of {shape}, {found.classes} classes"
    lines = [what, f"Net    {printable(str(found.path))}"]
    return Answer("\n".join(lines), found.as_dict())
