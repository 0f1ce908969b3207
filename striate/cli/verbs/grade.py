"""`striate grade`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, progress_of
from striate.errors import RequestError, printable

HELP = "write a page on which a person grades a model's captions, or count the grades"
EXAMPLE = "striate grade run photos/ --out grade.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", nargs="?", help="model file or run folder, trained on images with captions")
    parser.add_argument("files", nargs="*", help="image files, or folders of them")
    parser.add_argument("--out", metavar="HTML", help="the page to write")
    parser.add_argument("--beam", type=int, metavar="K", help="width of the beam search (default: the model's)")
    parser.add_argument("--tally", nargs="+", metavar="CSV", help="no model: count the grades that pages saved")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    if chosen.tally:
        return _tally(chosen)
    if not chosen.model or not chosen.files or not chosen.out:
        raise RequestError("give a model, image files and --out PAGE.html; or --tally grades.csv")
    from striate.jobs.grade import grade as job

    done = job(chosen.model, chosen.files, out=chosen.out, beam=chosen.beam, progress=progress_of(chosen))
    lines = [f"not captioned: {printable(why)}" for _, why in done.failed]
    lines.append(f"Page  {printable(str(done.path))}: {done.images:,} captions to grade by the keys 1, 2 and 3")
    facts = {
        "page": str(done.path),
        "images": done.images,
        "failed": [{"file": path, "why": why} for path, why in done.failed],
    }
    return Answer("\n".join(lines), facts, int(bool(done.failed)))


def _tally(chosen: argparse.Namespace) -> Answer:
    from striate.jobs.grade import tally_grades
    from striate.report.grading import GRADES

    if chosen.model or chosen.out or chosen.beam:
        raise RequestError("--tally counts grades: no model, --out or --beam goes with it")
    found = tally_grades(chosen.tally)
    lines = []
    for place, (name, count) in enumerate(zip(GRADES, found.counts, strict=True)):
        low, high = found.interval(place)
        share = f" ({count / found.graded:.0%}; 95 %: {low:.0%} to {high:.0%})" if found.graded else ""
        lines.append(f"{name:16}  {count:5,}{share}")
    lines.append(f"{found.graded:,} captions are graded" + (f", {found.ungraded:,} are not" if found.ungraded else ""))
    return Answer("\n".join(lines), found.as_dict())
