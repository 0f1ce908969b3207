"""Audit: what is in the data, without learning from it, or learning just enough to doubt its labels."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from striate.data.audit import Audit, require_learnable
from striate.data.audit import audit as draw
from striate.data.decisions import Row, write_decisions
from striate.data.findings import Finding
from striate.data.likeness import SIDE
from striate.data.looking import Memory, look
from striate.data.opening import open_source
from striate.data.sources import Source, notes_of
from striate.errors import RequestError
from striate.jobs.keeping import keep
from striate.jobs.outputs import require_apart
from striate.jobs.suspects import Suspect
from striate.pixels import Pixels
from striate.progress import Progress
from striate.recipe import Recipe
from striate.report.audit_content import decision_rows
from striate.storage import write_text

# No crop is made. A JPEG decoded at an eighth is still read to its last byte; its print wants 64 pixels.
_UNUSED = Pixels(SIDE, SIDE)
DOUBTFUL_LABEL = "doubtful-label"
_DOUBT = "nets that had not seen the image would have said otherwise: look at them, the most doubtful first"


@dataclass(frozen=True, eq=False)
class Examined:
    """A source after its audit. suspects: doubtful labels, the most doubtful first; empty where none were sought."""

    source: Source
    found: Audit
    suspects: list[Suspect]


def audit(
    data: str | os.PathLike[str],
    *,
    labels: bool = False,
    html: str | os.PathLike[str] | None = None,
    fix_list: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look at every image of a source once and say what was found.

    `labels`: also describe the images by a pretrained net and doubt the labels that nets which had not seen the image
    find unlikely. `html`: write a page of thumbnails to act on. `fix_list`: write a decisions file for
    `striate train --decisions`, with what is suggested. Raises RequestError for what is no source, and
    for an output that would replace the data.
    """
    progress = progress or Progress()
    if html and fix_list and Path(html).absolute() == Path(fix_list).absolute():
        raise RequestError(f"page and decisions cannot both be {str(html)!r}; name two files")
    source = open_source(data)
    for out in (html, fix_list):
        if out:
            require_apart(Path(out), data, source)
    examined = examine(source, labels=labels, progress=progress)
    if html or fix_list:
        from striate.jobs.audit_page import audit_page
        from striate.report.audit_page import render_audit

        page = audit_page(examined)
        if html:
            write_text(Path(html), render_audit(page))
        if fix_list:
            write_decisions(Path(fix_list), [Row(*row) for row in decision_rows(page)])
    return examined.found


def examine(source: Source, *, labels: bool, progress: Progress) -> Examined:
    """Look and, if asked, doubt the labels."""
    for note in notes_of(source):
        progress.say(note)
    if labels:
        return _with_doubts(source, progress)
    memory = Memory(source)
    pairs = []
    with progress.bar("Looking at the images", len(source.items)) as bar:
        for looked in look(source, _UNUSED, wanted=lambda digest: False, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
    keep(lambda: memory.save([record.digest for _, record in pairs]), progress)
    return Examined(source, draw(source, pairs, progress=progress), [])


def _with_doubts(source: Source, progress: Progress) -> Examined:
    """Audited in the pass that describes the images; then each label is held against answers from out of its fold."""
    from striate.jobs.describe import describe, describer, features_of
    from striate.jobs.learn_features import fitted, unseen_answers
    from striate.jobs.learned import Lots
    from striate.jobs.models import published_model
    from striate.jobs.suspects import suspects
    from striate.transfer.strategy import DEFAULT_BACKBONE

    by = describer(published_model(DEFAULT_BACKBONE), "auto", "auto", len(source.items))
    pairs, cache = describe(source, by, progress)
    found = draw(source, pairs, progress=progress)
    require_learnable(found, source.name)
    features = features_of(found.usable, cache)
    lots, recipe = Lots(found, ["train"] * len(found.usable)), Recipe()
    doubts = suspects(found, unseen_answers(lots, features, recipe, fitted(lots, features, recipe).strength))
    if doubts:
        keys = tuple(found.usable[one.place].item.key for one in doubts)
        remarks = tuple(f"{one.label}, or rather {one.suggested}?" for one in doubts)
        finding = Finding(DOUBTFUL_LABEL, "kept", _DOUBT, keys, remarks)
        found = replace(found, findings=[finding, *found.findings])
    return Examined(source, found, doubts)
