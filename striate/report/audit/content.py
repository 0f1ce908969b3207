"""What an audit's page says, as plain data, and the decisions it suggests: drawn by `striate.report.audit.page`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.tasks.values import Wording

DECISIONS = {
    "keep": "no change",
    "drop": "do not use it",
    "relabel": "change its label",
    "move": "move it to another split",
}
NOTHING_SEEN = ("blank", "tiny")
COLUMNS = ("path", "decision", "to", "found", "suggested", "why")


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """One file of a finding. `label` is its class in words; `why` is what is odd about this very file.

    `suggested` is a key of DECISIONS, or empty where nothing is to be decided; `to` is the class of a relabel, the part
    of a move, and `reason` is why. `safe` says that the suggestion cannot do harm, such as dropping the second of two
    equal files of one class: it is then preset, while any other is shown and left to the reader.
    Raises ValueError for another decision, or one without its `to`.
    """

    path: str
    image: NDArray[np.uint8] | None = None
    label: str = ""
    part: str = ""
    why: str = ""
    suggested: str = ""
    to: str = ""
    safe: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a decision that no reader of the file would understand."""
        if self.suggested and self.suggested not in DECISIONS:
            raise ValueError(f"a decision is one of {', '.join(DECISIONS)}, not {self.suggested!r}")
        if (self.suggested in ("relabel", "move")) != bool(self.to):
            raise ValueError(f"{self.suggested or 'no decision'!r} cannot go with to={self.to!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class AuditFinding:
    """One thing the audit noticed. `kind`, `action` and `explanation` are those of `striate.data.audit.audit.Finding`.

    `entries` are its files, most serious first; `groups` are places in `entries` that belong together, such as copies
    of one photograph, shown side by side. `names` are classes, where it is about classes and not about files, such as
    "imbalance". `count` is how many files there are when not all are entries. `level` is "serious" (harms the
    training or the evaluation), "look" (worth a look) or "note" (dealt with, nothing to do); empty: by kind, see
    `striate.report.audit.words`.
    """

    kind: str
    action: str
    explanation: str
    entries: tuple[Entry, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    count: int = 0
    level: str = ""

    @property
    def files(self) -> int:
        """How many files it is about."""
        return max(self.count, len(self.entries))


@dataclass(frozen=True, eq=False, kw_only=True)
class AuditPage:
    """Everything the page of an audit says. `data` is one line about the folder; `findings` are most serious first.

    `wording` is what the task's targets are called; `one_class`: each image has exactly one of the classes.

    `counts` are usable images by class and part, as `Audit.counts()` gives them; `classes` and `parts` are what an
    image can be relabelled and moved to (empty: those of `counts`). `images` is how many can be used (None: as many as
    in `counts`, which counts an image of several labels more than once). `sizes` [N, 2] are the images' widths and
    heights. `command` is what to type to use the saved decisions, shown beside the button.
    """

    title: str
    data: str
    counts: Mapping[str, Mapping[str, int]]
    findings: tuple[AuditFinding, ...] = ()
    wording: Wording
    one_class: bool = True
    classes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    images: int | None = None
    sizes: ArrayLike | None = None
    command: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a page nobody has changed decides about one file: the columns of the decisions file but for its path."""

    decision: str
    to: str
    found: str
    suggested: str
    why: str


def plans(page: AuditPage) -> dict[str, Plan]:
    """The plan of every file that the findings name, in the order in which they name them first.

    The suggestion is that of the first, most serious finding that has one, but for an image on which there is nothing
    to be seen: no other label helps there. It is preset only where it is safe.
    """
    first: dict[str, Entry] = {}
    found: dict[str, dict[str, None]] = {}
    for finding in page.findings:
        for entry in finding.entries:
            found.setdefault(entry.path, {})[finding.kind] = None
    for finding in sorted(page.findings, key=lambda finding: finding.kind not in NOTHING_SEEN):
        for entry in finding.entries:
            if entry.suggested:
                first.setdefault(entry.path, entry)
    made = {}
    for path, kinds in found.items():
        entry = first.get(path, Entry(path=path))
        safe = bool(entry.suggested) and entry.safe
        suggested = f"{entry.suggested} {entry.to}".strip()
        decision, to = (entry.suggested, entry.to) if safe else ("keep", "")
        made[path] = Plan(decision, to, ", ".join(kinds), suggested, entry.reason)
    return made


def decision_rows(page: AuditPage) -> list[tuple[str, str, str, str, str, str]]:
    """The decisions file of a page nobody has changed: rows of COLUMNS, one a file, in the order of the findings.

    `decision` is the suggestion where that is safe, else "keep"; `found` names every finding the file is in, parted by
    a comma. Files about which nothing is suggested have no row.
    """
    return [
        (path, plan.decision, plan.to, plan.found, plan.suggested, plan.why)
        for path, plan in plans(page).items()
        if plan.suggested
    ]
