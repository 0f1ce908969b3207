"""From an audit to the content of its page: thumbnails, and the suggestion for each file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from striate.data.audit.findings import Finding, Usable
from striate.data.audit.suggestions import Suggestion
from striate.data.sources.base import Item, Source
from striate.jobs.examining import Examined
from striate.pixels import Images, UnreadableImage
from striate.report.audit.content import AuditFinding, AuditPage, Entry

PICTURES = 400  # thumbnails decoded for the page, at most
SIDE = 240  # pixels of a picture's longer side: it opens larger than its thumbnail
LISTED = 2000  # files of a finding that become entries of the page


def audit_page(examined: Examined, suggested: Mapping[str, Suggestion]) -> AuditPage:
    """The content of the audit's page. suggested: by path."""
    found, source = examined.found, examined.source
    usable = {entry.item.key: entry for entry in found.usable}
    pictures = _Thumbnails(source)
    sizes = np.array([(entry.record.width, entry.record.height) for entry in found.usable], np.int64).reshape(-1, 2)
    parts = tuple(sorted({entry.item.part for entry in found.usable} - {""}))
    return AuditPage(
        title=source.name,
        data=f"{len(found.usable):,} usable images, {len(found.set_aside):,} set aside. {found.balance()}",
        counts=found.counts(),
        findings=tuple(_finding(one, examined, usable, suggested, pictures) for one in found.findings),
        wording=found.task.wording,
        one_class=found.task.one_class,
        classes=found.classes if found.task.wording.names_listed else (),
        parts=parts,
        images=len(found.usable),
        sizes=sizes,
        command=f"striate train {source.name} --decisions decisions.csv",
    )


class _Thumbnails:
    """Pictures of the first files that are requested, uncropped and upright."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._made: dict[str, Images | None] = {}

    def of(self, item: Item) -> Images | None:
        if item.key not in self._made:
            self._made[item.key] = self._decoded(item) if len(self._made) < PICTURES else None
        return self._made[item.key]

    def _decoded(self, item: Item) -> Images | None:
        try:
            image = self._source.decode(self._source.read(item), SIDE).image
        except (OSError, UnreadableImage):
            return None
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        return np.asarray(image, np.uint8)


def _finding(
    finding: Finding,
    examined: Examined,
    usable: Mapping[str, Usable],
    suggested: Mapping[str, Suggestion],
    pictures: _Thumbnails,
) -> AuditFinding:
    if finding.kind == "imbalance":  # of classes, not of files
        return AuditFinding(
            kind=finding.kind, action=finding.action, explanation=finding.explanation, names=finding.listed
        )
    remarks = finding.remarks or ("",) * len(finding.paths)
    if finding.action == "set aside":
        why = {oddity.path: oddity.why for oddity in examined.found.set_aside}
        remarks = tuple(why.get(path, "") for path in finding.paths)
    entries = []
    for path, remark in list(zip(finding.paths, remarks, strict=True))[:LISTED]:
        entry = usable.get(path)
        one = suggested.get(path, Suggestion(""))
        entries.append(
            Entry(
                path=path,
                image=pictures.of(entry.item) if entry else None,
                label=examined.found.task.text(entry.item.target) if entry else "",
                part=entry.item.part if entry else "",
                why=remark,
                suggested=one.decision,
                to=one.to,
                safe=one.safe,
                reason=one.why,
            )
        )
    place = {entry.path: number for number, entry in enumerate(entries)}
    groups = tuple(tuple(place[path] for path in group if path in place) for group in finding.groups)
    return AuditFinding(
        kind=finding.kind,
        action=finding.action,
        explanation=finding.explanation,
        entries=tuple(entries),
        groups=tuple(group for group in groups if len(group) > 1),
        count=len(finding.paths),
    )
