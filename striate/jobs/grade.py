"""Grade: a page on which a person grades the captions of a model, and the tally of saved grades."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from striate.data.sources.rows import read_table
from striate.errors import RequestError, StriateError, unknown
from striate.inference.image_predictor import decoded_file
from striate.jobs.captions import captioner
from striate.jobs.outputs import require_file, same_file
from striate.jobs.predict import image_files
from striate.progress import Progress
from striate.reading import given_path
from striate.report.grading import COLUMNS, GRADES, MOST, SIDE, Captioned, grading_page
from striate.storage import write_text
from striate.tasks.metrics import wilson


@dataclass(frozen=True)
class GradingPage:
    """The written page. images: how many captions are on it. failed: (path, why) of files that could not be used."""

    path: Path
    images: int
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tally:
    """How many captions got each grade of `GRADES`, in order; and how many none."""

    counts: tuple[int, ...]
    ungraded: int

    @property
    def graded(self) -> int:
        """All with a grade."""
        return sum(self.counts)

    def interval(self, grade: int) -> tuple[float, float]:
        """The 95 % interval of a grade's share (Wilson)."""
        return wilson(self.counts[grade], self.graded)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = {name: {"count": count, "interval": list(self.interval(place))}
                for place, (name, count) in enumerate(zip(GRADES, self.counts, strict=True))}  # fmt: skip
        return {"graded": self.graded, "ungraded": self.ungraded, "grades": rows}


def grade(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    beam: int | None = None,
    progress: Progress | None = None,
) -> GradingPage:
    """Caption image files, folders standing for the images in them, and write the page to grade them on.

    beam: width of the search, by default the model's. The grades are those of Vinyals et al. 2015, Figure 5.
    Raises RequestError for a model that gives no captions, too many images, and if no image could be used.
    """
    progress = progress or Progress()
    page = given_path(out, "the page (--out)")
    predictor = captioner(model, beam=beam)
    given = image_files(files)
    if len(given.paths) > MOST:
        raise RequestError(f"{len(given.paths):,} images are too many for one page: give up to {MOST}")
    require_file(page)
    if any(same_file(page, Path(one)) for one in (*given.paths, model)):
        raise RequestError(f"{str(page)!r} is an input, and is not overwritten; name another file")
    shown, failed = list[Captioned](), list(given.failed)
    with progress.bar("Captioning", len(given.paths)) as bar:
        for path in given.paths:
            bar.advance()
            try:
                image = decoded_file(Path(path), SIDE).image
                (found,) = predictor.predict([path])
            except StriateError as error:
                failed.append((path, str(error)))
                continue
            image.thumbnail((SIDE, SIDE))
            shown.append(Captioned(np.asarray(image.convert("RGB"), np.uint8), path, found.label))
    if not shown:
        raise RequestError(f"no image could be used: {failed[0][1]}")
    write_text(page, grading_page(shown, "Grade the captions"))
    return GradingPage(page, len(shown), tuple(failed))


def tally_grades(files: Sequence[str | os.PathLike[str]]) -> Tally:
    """Count the grades of tables that the page saved. Raises RequestError for a table that is none of them."""
    counts, ungraded = [0] * len(GRADES), 0
    for file in files:
        path = given_path(file, "the grades (--tally)")
        table = read_table(path, "table of grades", COLUMNS)
        if "grade" not in table.columns:
            raise RequestError(f"the table of grades {str(path)!r} has no column grade")
        place = table.columns.index("grade")
        for line, fields in table.rows:
            said = fields[place].strip() if place < len(fields) else ""
            if not said:
                ungraded += 1
            elif said not in GRADES:
                raise unknown(f"grade in line {line} of {str(path)!r}:", said[:60], GRADES)
            else:
                counts[GRADES.index(said)] += 1
    return Tally(tuple(counts), ungraded)
