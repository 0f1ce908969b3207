"""Examine: a source looked at whole, and, if asked, its labels doubted by nets that had not seen the images."""

from __future__ import annotations

from dataclasses import dataclass

from striate.data.audit.audit import Audit
from striate.data.audit.audit import audit as draw
from striate.data.audit.likeness import SIDE
from striate.data.audit.looking import Memory, look
from striate.data.sources.base import Source, notes_of
from striate.jobs.keeping import keep
from striate.pixels import Pixels
from striate.progress import Progress
from striate.tasks import LabelError

# No crop is made. A JPEG decoded at an eighth is still read to its last byte; its print wants 64 pixels.
_UNUSED = Pixels(SIDE, SIDE)


@dataclass(frozen=True, eq=False)
class Examined:
    """A source after its audit. suspects: doubtful labels, the most doubtful first; empty where none were sought."""

    source: Source
    found: Audit
    suspects: list[LabelError]


def examine(source: Source, *, labels: bool, progress: Progress) -> Examined:
    """Look and, if asked, doubt the labels."""
    for note in notes_of(source):
        progress.say(note)
    if labels:
        from striate.jobs.learning.doubting import doubted  # brings the pretrained net and its engine along

        return Examined(source, *doubted(source, progress))
    memory = Memory(source)
    pairs = []
    with progress.bar("Looking at the images", len(source.items)) as bar:
        for looked in look(source, _UNUSED, wanted=lambda digest: False, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
    keep(lambda: memory.save([record.digest for _, record in pairs]), progress)
    return Examined(source, draw(source, pairs, progress=progress), [])
