"""The quality of a data set in a word and two sentences, and the three most useful things to do. Plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from striate.report.audit.content import AuditFinding, AuditPage
from striate.report.audit.words import LOOK, SERIOUS, WORDS, heading, level
from striate.sections.wording import counted, images, percent

STEPS = 3
A_LOT = 0.02  # share of images that serious findings are about, from which on they are serious problems


@dataclass(frozen=True)
class Verdict:
    """A word, what it rests on, more of it, and the anchors, advice and reasons of what to do."""

    word: str
    said: str
    more: str
    steps: tuple[tuple[str, str, str], ...]


def levelled(finding: AuditFinding) -> str:
    """How serious a finding is: as given, else by its kind."""
    return finding.level or level(finding.kind, finding.action)


def verdict(page: AuditPage, pressing: Sequence[AuditFinding]) -> Verdict:
    """The verdict on a page; its `pressing` findings, serious ones first, have the anchors finding-0, finding-1, ..."""
    total = _total(page)
    serious = _files([finding for finding in pressing if levelled(finding) == SERIOUS])
    look = _files([finding for finding in pressing if levelled(finding) == LOOK])
    words = page.wording
    where = f" in {counted(len(page.counts), words.one, words.many)}" if words.names_listed else ""
    more = f"{images(total)}{where} can be used."
    aside = sum(finding.files for finding in page.findings if finding.action == "set aside")
    if aside:
        more += f" {counted(aside, 'file')} cannot, and {'was' if aside == 1 else 'were'} set aside."
    word, said = _word(total, len(page.counts), serious, look, bool(pressing), page.one_class)
    return Verdict(word, said, more, _steps(pressing))


def _total(page: AuditPage) -> int:
    """Usable images; of several names an image, no more is known than that the largest has so many."""
    counts = [sum(parts.values()) for parts in page.counts.values()]
    if page.images is not None:
        return page.images
    several = page.wording.names_listed and not page.one_class
    return max(counts, default=0) if several else sum(counts)


def _word(total: int, classes: int, serious: int, look: int, pressing: bool, one_class: bool) -> tuple[str, str]:
    if not total:
        return "Nothing to train on", "None of its images can be used."
    if one_class and classes < 2:
        return "Only one class", "A classifier needs at least two classes."
    if serious:
        share = serious / total
        word = "Serious problems" if share >= A_LOT else "A few serious problems"
        return word, f"{counted(serious, 'file')} ({percent(share)}) may harm training or make the evaluation invalid."
    if pressing:
        said = (
            f"{counted(look, 'file')} {'is' if look == 1 else 'are'} worth a look."
            if look
            else "A few things are worth a look."
        )
        return "Minor problems", f"Nothing here is likely to harm the training. {said}"
    return "Clean", "Every image could be read, and nothing is suspicious."


def _files(findings: Sequence[AuditFinding]) -> int:
    """Files the findings are about, each counted once as far as they are known."""
    known = {entry.path for finding in findings for entry in finding.entries}
    return len(known) + sum(finding.files - len(finding.entries) for finding in findings)


def _steps(pressing: Sequence[AuditFinding]) -> tuple[tuple[str, str, str], ...]:
    steps = []
    for place, finding in enumerate(pressing[:STEPS]):
        known = WORDS.get(finding.kind)
        about = counted(len(finding.names), "class", "classes") if finding.names else counted(finding.files, "file")
        advice = known.advice if known and known.advice else f"Look at: {finding.kind}"
        steps.append(
            (f"finding-{place}", advice, f"{about}: {heading(finding.kind)[:1].lower()}{heading(finding.kind)[1:]}.")
        )
    return tuple(steps) or (("folder", "Train", "There is nothing to fix first."),)
