"""The findings of an audit in a few plain lines, for the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from striate.data.audit.findings import Finding, few
from striate.report.audit.words import heading

MOST = 10  # lines


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """One line for each kind, the most serious first; at most MOST, of which the last tells how many more there are."""
    order = ("kept", "set aside", "converted")  # the result itself names what was set aside
    lines = [_line(finding) for finding in sorted(findings, key=lambda one: order.index(one.action))]
    if len(lines) > MOST:
        lines = [*lines[: MOST - 1], f"{len(lines) - MOST + 1} more kinds of findings: see the report"]
    return lines


def _line(finding: Finding) -> str:
    count, said = len(finding.paths), heading(finding.kind)
    if finding.action == "converted":
        said = finding.explanation[:1].upper() + finding.explanation[1:]
    if not count:
        return f"{said}: {finding.explanation}"
    names = ("class", "classes") if finding.kind == "imbalance" else ("file", "files")
    groups = [" = ".join(group[:2]) + (" = ..." if len(group) > 2 else "") for group in finding.groups]
    return f"{said}: {count:,} {names[count > 1]}, {few(groups or finding.listed)}"
