"""Examine: audit a source and, if requested, search for label errors."""

from __future__ import annotations

from dataclasses import dataclass

from striate.data.audit.audit import Audit
from striate.data.audit.audit import audit as draw
from striate.data.audit.likeness import SIDE
from striate.data.audit.looking import Memory, look
from striate.data.sources.base import Source, notes_of, reading_of
from striate.learning.caching import try_to_save
from striate.learning.label_errors import Suspects
from striate.pixels import Pixels
from striate.progress import Progress

# No crop is made. A JPEG decoded at 1/8 is still read to its last byte; its thumbnail needs 64 pixels.
_UNUSED = Pixels(SIDE, SIDE)


@dataclass(frozen=True, eq=False)
class Examined:
    """A source after its audit. label_errors: images whose label is doubtful; empty if not requested."""

    source: Source
    found: Audit
    label_errors: Suspects


def examine(source: Source, *, labels: bool, progress: Progress) -> Examined:
    """Audit and, if requested, search for label errors."""
    for line in (*reading_of(source), *notes_of(source)):
        progress.say(line)
    if labels:
        from striate.learning.label_audit import audit_labels  # imports the pretrained net and its engine

        return Examined(source, *audit_labels(source, progress))
    memory = Memory(source)
    pairs = []
    with progress.bar("Reading the images", len(source.items)) as bar:
        for looked in look(source, _UNUSED, wanted=lambda digest: False, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
    try_to_save(lambda: memory.save([record.digest for _, record in pairs]), progress)
    return Examined(source, draw(source, pairs, progress=progress), Suspects())
