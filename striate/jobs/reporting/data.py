"""The section of the data audit: what is unusual about the files, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data.audit.audit import Audit
from striate.data.audit.findings import Finding
from striate.jobs.reporting.pictures import Pictures
from striate.pixels import Images
from striate.report.audit.words import SERIOUS, heading, level
from striate.sections import Block, Code, Entry, Listing, Picture, Section, Step, Strip, Text
from striate.sections.wording import counted, number

ANCHOR = "data"
PICTURED = 8  # files of a finding with a picture
LISTED = 20  # files and groups of a finding
GROUPS, A_GROUP = 4, 6  # groups with pictures, and pictures of each


def data_section(audit: Audit, pictures: Pictures) -> Section:
    """The audit's findings and the files that are not used."""
    blocks: list[Block] = [_entry(finding, pictures) for finding in audit.findings]
    lead = "Every file was opened before training. This is what is unusual, and what was done about it."
    if not blocks:
        lead, blocks = "", [Text("The audit before training found nothing unusual.", "quiet")]
    if audit.set_aside:
        rows = [(Code(one.path), f": {one.kind}: {one.why}") for one in audit.set_aside]
        blocks.append(Listing(f"Files set aside ({number(len(rows))})", rows))
    else:
        blocks.append(Text("No files were set aside.", "quiet"))
    return Section(ANCHOR, "Data audit", tuple(blocks), lead)


def _entry(finding: Finding, pictures: Pictures) -> Entry:
    shown = _shown(finding, pictures)
    grouped = {path for group in finding.groups for path in group}
    blocks: list[Block] = [_strip(finding, group[:A_GROUP], shown) for group in finding.groups[:GROUPS]]
    blocks.append(_strip(finding, [path for path in shown if path not in grouped], shown))
    blocks = [strip for strip in blocks if isinstance(strip, Strip) and strip.pictures]
    listed = [(Code(path),) for path in finding.listed[:LISTED]]
    title = "Examples" if len(listed) < len(finding.paths) else f"All {number(len(listed))} files"
    if finding.groups:
        title = counted(len(finding.groups), "group")
        blocks.append(Listing(title, [_group(group) for group in finding.groups[:LISTED]]))
    elif listed:
        blocks.append(Listing(title if len(listed) > 1 else "File", listed))
    words = f"{finding.kind}: {finding.explanation}"
    return Entry(heading(finding.kind), len(finding.paths), finding.action, words, tuple(blocks))


def _shown(finding: Finding, pictures: Pictures) -> dict[str, Images]:
    places = pictures.places()
    paths = [path for path in finding.paths if path in places][:PICTURED] if finding.action == "kept" else []
    crops = pictures.images(places[path] for path in paths)
    return {path: crops[places[path]] for path in paths if places[path] in crops}


def _strip(finding: Finding, paths: Sequence[str], shown: dict[str, Images]) -> Strip:
    return Strip(tuple(Picture(shown[path], finding.kind, path) for path in paths if path in shown))


def _group(group: Sequence[str]) -> tuple[str | Code, ...]:
    words: list[str | Code] = []
    for path in group[:A_GROUP]:
        words += [" = ", Code(path)] if words else [Code(path)]
    return tuple(words)


def leak_step(findings: Sequence[Finding]) -> list[Step]:
    """The advice about the first finding that can invalidate the evaluation."""
    for finding in findings:
        if level(finding.kind, finding.action) == SERIOUS and finding.action == "kept":
            why = f"{counted(len(finding.paths), 'file')}: this can make the evaluation invalid."
            return [Step(ANCHOR, heading(finding.kind), why)]
    return []


def set_aside_step(audit: Audit) -> list[Step]:
    """The advice to check the files that are not used."""
    count = len(audit.set_aside)
    if not count:
        return []
    title = f"{number(count)} file{'s were' if count > 1 else ' was'} set aside"
    return [Step(ANCHOR, title, "Check which ones and why, and whether they belong in the training data.")]
