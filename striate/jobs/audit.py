"""Audit: what is in the data, without learning from it."""

from __future__ import annotations

import os

from striate.data.audit import Audit
from striate.data.audit import audit as draw
from striate.data.likeness import SIDE
from striate.data.looking import Memory, look
from striate.data.opening import open_source
from striate.jobs.keeping import keep
from striate.pixels import Pixels
from striate.progress import Progress

# No crop is made. A JPEG decoded at an eighth is still read to its last byte; its print wants 64 pixels.
_UNUSED = Pixels(SIDE, SIDE)


def audit(data: str | os.PathLike[str], *, progress: Progress | None = None) -> Audit:
    """Look at every image of a source once and say what was found. Raises RequestError for what is no source."""
    source = open_source(data)
    memory = Memory(source)
    pairs = []
    with (progress or Progress()).bar("Looking at the images", len(source.items)) as bar:
        for looked in look(source, _UNUSED, wanted=lambda digest: False, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
    keep(lambda: memory.save([record.digest for _, record in pairs]), progress or Progress())
    return draw(source, pairs, progress=progress)
