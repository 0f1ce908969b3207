"""`striate inspect`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import MODEL, SOURCES, Answer, own_net_option, progress_of
from striate.errors import RequestError, printable

if TYPE_CHECKING:
    from striate.jobs.inspection import ImageInspection, Inspection

HELP = "show why a model gives its answer for an image, or the network itself"
EXAMPLE = "striate inspect run new.jpg --out why.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=f"{MODEL}; or a net file, whose design is inspected")
    parser.add_argument(
        "images",
        nargs="*",
        metavar="image",
        help="image files, or folders of them; at most 12 (none: the network itself)",
    )
    parser.add_argument(
        "--class",
        dest="name",
        default="",
        metavar="NAME",
        help="what to explain (default: the answer; of boxes the best object, NAME:2 is the second of NAME; "
        "of a caption a word of it)",
    )
    parser.add_argument(
        "--layer",
        default="",
        metavar="STAGE",
        help="stage whose map is read (default: the last of at least 4 x 4; of masks and boxes: the coarsest)",
    )
    parser.add_argument(
        "--method",
        default="cam,gradient,occlusion",
        metavar="NAMES",
        help="of cam, gradient, occlusion and ig, with commas (default: all but ig, integrated gradients)",
    )
    parser.add_argument(
        "--data", metavar="DATA", help=f"without images: labelled ones for the network's tests, {SOURCES}"
    )
    parser.add_argument(
        "--part",
        metavar="NAMES",
        help="with --data: of patches, lesions, responses, paths, gradients and surface, with commas (default: all "
        "that fit the network)",
    )
    parser.add_argument("--out", default="inspect.html", metavar="FILE", help="the page (default: inspect.html)")
    parser.add_argument("--png", metavar="DIR", help="also write each map as a PNG file")
    parser.add_argument("--seed", type=int, default=0, help="random seed of noise and checks (default: 0)")
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    if chosen.images and (chosen.data or chosen.part):
        raise RequestError("give images, which are explained, or --data, on which the network is tested, not both")
    if not chosen.images:
        return _net(chosen)
    from striate.jobs.inspect import facts, inspect_images

    done = inspect_images(
        chosen.model,
        chosen.images,
        name=chosen.name,
        layer=chosen.layer,
        methods=[name.strip() for name in chosen.method.split(",")],
        html=chosen.out,
        png=chosen.png,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    lines = [line for one in done.images for line in _lines(done, one)]
    lines.append(f"Page  {printable(chosen.out)}")
    if chosen.png:
        lines.append(f"Maps  {printable(chosen.png)}")
    return Answer("\n".join(lines), {"page": chosen.out, **facts(done)})


def _net(chosen: argparse.Namespace) -> Answer:
    """The network itself."""
    from striate.jobs.inspect_net import inspect_net

    parts = [name.strip() for name in chosen.part.split(",")] if chosen.part else None
    found: dict[str, Any] = inspect_net(
        chosen.model,
        data=chosen.data,
        parts=parts,
        out=chosen.out,
        png=chosen.png,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    norms = [
        f"  {one['layer']}: {one['filters']} filters, mean norm {one['norm_mean']:.3g}" for one in found["filters"]
    ]
    lines = [f"{found['net']}: {len(norms) or 'no'} layers of filters with weights", *norms[:8]]
    lines += [f"  and {len(norms) - 8} more"] if len(norms) > 8 else []
    lines += [f"  {one['stage'] or 'design'}: {one['seen']}; {one['do']}" for one in found["advice"]]
    lines.append(f"Page  {printable(chosen.out)}")
    return Answer("\n".join(lines), {"page": chosen.out, **found})


def _lines(done: Inspection, one: ImageInspection) -> list[str]:
    """The answer, what the class map is, and the checks that fail."""
    from striate.jobs.inspect_checks import checks

    task = done.predictor.model.task
    lines = [f"{printable(one.path)}: {one.answer.line}"]
    if one.masks is not None:
        from striate.jobs.inspect_masks import about

        lines.append(f"  explained is {about(one.masks, printable(task.names[one.masks.explained]))}")
    if one.boxes is not None:
        from striate.jobs.inspect_boxes import about_object

        lines.append(f"  explained is {about_object(one.boxes)}")
    if one.caption is not None:
        from striate.jobs.inspect_captions import about as about_word

        lines.append(f"  explained is {printable(about_word(one.caption))}")
    if one.classes is not None:
        exact = "exact" if one.classes.exact else "not exact: the network is not linear above this layer"
        shape = "x".join(map(str, one.classes.values.shape[1:]))
        lines.append(f"  class map of {printable(task.names[one.asked[0]])} at {one.classes.layer}, {shape}, {exact}")
    if one.integrated is not None and not one.integrated.converged:
        gap = f"{100 * one.integrated.gap:.1f} %"
        lines.append(f"  integrated gradients did not converge: gap {gap} after {one.integrated.steps} steps")
    if one.trust is not None:
        lines += [f"  read the map with care: {check.failure}" for check in checks(one.trust) if not check.passed]
    return lines
