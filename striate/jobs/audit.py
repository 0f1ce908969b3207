"""Audit: check the data; the result as a value, a page and a decisions file."""

from __future__ import annotations

import os
from pathlib import Path

from striate.data.audit.audit import Audit
from striate.data.audit.decisions import write_decisions
from striate.data.audit.suggestions import decision_rows, suggestions
from striate.data.opening import Data, open_source
from striate.errors import RequestError
from striate.jobs.audit_page import audit_page
from striate.jobs.examining import examine
from striate.jobs.outputs import require_apart
from striate.progress import Progress
from striate.report.audit.page import render_audit
from striate.storage import write_text


def audit(
    data: Data,
    *,
    layout: str = "auto",
    labels: bool = False,
    html: str | os.PathLike[str] | None = None,
    fix_list: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Check every image of `data` (as for `striate.train`) once and report what was found.

    `layout`: how a folder is read, "auto", "parts" or "classes". `labels`: also search for label errors, by
    out-of-fold predictions on the features of a pretrained net. `html`: write an interactive page of thumbnails.
    `fix_list`: write a decisions file for `striate train --decisions`, with the suggestions. Raises RequestError for
    data that cannot be opened, and for an output that would overwrite the data.
    """
    progress = progress or Progress()
    if html and fix_list and Path(html).absolute() == Path(fix_list).absolute():
        raise RequestError(f"page and decisions cannot both be {str(html)!r}; name two files")
    source = open_source(data, layout)
    for out in (html, fix_list):
        if out:
            require_apart(Path(out), data, source)
    examined = examine(source, labels=labels, progress=progress)
    if html or fix_list:
        found, likely = examined.found, examined.label_errors.likely
        better = {found.usable[one.index].item.key: found.task.written(one.target) for one in likely}
        suggested = suggestions(found, better)
        if html:
            write_text(Path(html), render_audit(audit_page(examined, suggested)))
        if fix_list:
            write_decisions(Path(fix_list), decision_rows(found, suggested))
    return examined.found
