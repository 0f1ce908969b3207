"""`striate predict`."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING, Any

from striate.cli.answer import MODEL, Answer, engine_options, own_net_option, progress_of, views_option
from striate.errors import RequestError, printable

if TYPE_CHECKING:
    from striate.inference.predictor import Prediction
    from striate.jobs.predict import Predictions

HELP = "predict image files"
EXAMPLE = "striate predict run photos/ --sort-into sorted --unsure 0.8"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("files", nargs="+", help="image files, or folders of them")
    parser.add_argument("--csv", metavar="FILE", help="write a table: path, class, probability, and that of each class")
    parser.add_argument(
        "--sort-into",
        metavar="FOLDER",
        help="copy each image into FOLDER/CLASS/; FOLDER must be new or empty, equal names get a number",
    )
    parser.add_argument(
        "--link", action="store_true", help="with --sort-into: hard links, or symbolic ones on another disk, not copies"
    )
    parser.add_argument(
        "--unsure",
        metavar="P",
        type=float,
        help="with --sort-into: images whose highest probability is below P, such as 0.8, go to FOLDER/unsure/",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="of a segmentation model: write the mask of each image as a PNG into FOLDER; of a detection model: each "
        "image with its boxes drawn",
    )
    parser.add_argument(
        "--score", metavar="S", type=float, help="of a detection model: objects of at least this score (default 0.4)"
    )
    parser.add_argument(
        "--overlays", action="store_true", help="with --out: also each image with its mask over it, in FOLDER/overlays"
    )
    parser.add_argument(
        "--beam", type=int, metavar="K", help="of a captioning model: width of the beam search (default: the model's)"
    )
    views_option(parser)
    engine_options(parser)
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.weights.models import predicts_boxes

    if predicts_boxes(chosen.model):
        return _boxes(chosen)
    if chosen.score is not None:
        raise RequestError("--score is of a detection model, and this model predicts no boxes")
    if chosen.out or chosen.overlays:
        return _masks(chosen)
    from striate.data.audit.findings import set_aside_findings
    from striate.jobs.predict import predict as job
    from striate.jobs.reporting.findings import finding_lines

    done = job(
        chosen.model,
        chosen.files,
        engine=chosen.engine,
        precision=chosen.precision,
        calibrate=chosen.calibrate,
        views=chosen.views,
        csv=chosen.csv,
        sort_into=chosen.sort_into,
        link=chosen.link,
        unsure=chosen.unsure,
        beam=chosen.beam,
        progress=progress_of(chosen),
    )
    lines = _written(chosen, done) or [f"{printable(one.source)}: {_line(one)}" for one in done.predictions]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    lines += [f"Left out: {line}" for line in finding_lines(set_aside_findings(done.set_aside))]
    # An invalid request if no file could be predicted; a failure if some could not.
    code = 0 if not done.failed else (1 if done.predictions else 2)
    return Answer("\n".join(lines), _facts(chosen, done), code)


def _masks(chosen: argparse.Namespace) -> Answer:
    from striate.jobs.predict_masks import predict_masks as job

    if not chosen.out:
        raise RequestError("--overlays goes with --out FOLDER")
    for flag in ("csv", "sort_into", "views", "calibrate"):
        if getattr(chosen, flag):
            raise RequestError(f"--out writes masks; --{flag.replace('_', '-')} does not go with it")
    done = job(
        chosen.model,
        chosen.files,
        out=chosen.out,
        overlays=chosen.overlays,
        engine=chosen.engine,
        progress=progress_of(chosen),
    )
    lines = [f"{printable(one.source)}: {one.answer.line}" for one in done.masks]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    lines.append(f"Masks  {printable(chosen.out)}: {len(done.masks):,}, of {', '.join(done.predictor.classes[:5])}")
    facts = {
        "masks": [
            {"file": one.source, "mask": str(one.mask), **({"overlay": str(one.overlay)} if one.overlay else {}),
             **one.answer.facts}
            for one in done.masks
        ],
        "classes": list(done.predictor.classes),
        "failed": [{"file": path, "why": why} for path, why in done.failed],
    }  # fmt: skip
    return Answer("\n".join(lines), facts, 0 if not done.failed else (1 if done.masks else 2))


def _boxes(chosen: argparse.Namespace) -> Answer:
    from striate.jobs.predict_boxes import predict_boxes as job
    from striate.tasks.found_objects import objects_told

    for flag in ("overlays", "sort_into", "link", "unsure", "views", "calibrate"):
        if getattr(chosen, flag):
            raise RequestError(f"this model predicts boxes; --{flag.replace('_', '-')} does not go with it")
    score = {} if chosen.score is None else {"score": chosen.score}
    done = job(
        chosen.model,
        chosen.files,
        out=chosen.out,
        csv=chosen.csv,
        engine=chosen.engine,
        progress=progress_of(chosen),
        **score,
    )
    lines = [
        f"{printable(one.source)}: "
        + (", ".join(f"{printable(each.label)} {100 * each.score:.1f} %" for each in one.objects[:5]) or "nothing")
        + (f" and {len(one.objects) - 5} more" if len(one.objects) > 5 else "")
        for one in done.images
    ]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    lines += [f"Pictures  {printable(chosen.out)}: {len(done.images):,}"] if chosen.out else []
    lines += (
        [f"Table  {printable(chosen.csv)}: {sum(len(one.objects) for one in done.images):,} boxes"]
        if chosen.csv
        else []
    )
    images = [
        {"file": one.source, **objects_told(one.size, one.objects),
         **({"picture": str(one.picture)} if one.picture else {})}
        for one in done.images
    ]  # fmt: skip
    facts = {
        "images": images,
        "classes": list(done.predictor.classes),
        "failed": [{"file": path, "why": why} for path, why in done.failed],
    }
    return Answer("\n".join(lines), facts, 0 if not done.failed else (1 if done.images else 2))


def _written(chosen: argparse.Namespace, done: Predictions) -> list[str]:
    """What was written, instead of a line for each image; nothing if no file was asked for."""
    lines = []
    if chosen.sort_into:
        counts = Counter(path.parent.name for path in done.sorted_to.values())
        listed = ", ".join(f"{count:,} {printable(name)}" for name, count in counts.most_common())
        lines.append(f"Sorted {len(done.sorted_to):,} images into {printable(chosen.sort_into)}: {listed or 'none'}")
    if chosen.csv:
        lines.append(f"Table  {printable(chosen.csv)}: {len(done.predictions):,} predictions")
    return lines


def _facts(chosen: argparse.Namespace, done: Predictions) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "predictions": [_row(one, done) for one in done.predictions],
        "failed": [{"file": path, "why": why} for path, why in done.failed],
        "set_aside": [{"path": one.path, "kind": one.kind, "why": one.why} for one in done.set_aside],
    }
    written = {"csv": chosen.csv, "sort_into": chosen.sort_into}
    return facts | {name: value for name, value in written.items() if value}


def _line(one: Prediction) -> str:
    return f"{one.label}, otherwise {one.answer.line}" if one.in_distribution is False else one.answer.line


def _row(one: Prediction, done: Predictions) -> dict[str, Any]:
    row: dict[str, Any] = {"file": one.source, "label": one.label, **one.answer.facts}
    if one.in_distribution is not None:
        row |= {"in_distribution": one.in_distribution, "distance": one.distance}
    if one.source in done.sorted_to:
        row["sorted_to"] = str(done.sorted_to[one.source])
    return row
