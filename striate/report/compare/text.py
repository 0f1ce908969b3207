"""Several runs side by side, as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import printable
from striate.report.compare.comparing import ABSENT, Comparison
from striate.report.compare.summary import RunSummary
from striate.sections.wording import DASH, MINUS, NO_BREAK, THIN, clipped, formatted, number, quantity, seconds

SETTINGS = 12


def comparison_text(runs: Sequence[RunSummary]) -> str:
    """A table of the runs, the verdict and what differs, in lines of text. Raises RequestError for fewer than two."""
    found = Comparison(tuple(runs))
    score = found.runs[0].score_name if found.same_score else "score"
    rows: list[tuple[str, ...]] = [("run", score, "95 %", "images", "time", "model"), *map(_row, found.runs)]
    if found.on_common:
        common = (formatted(value, run.score_form) for run, value in zip(found.runs, found.scores, strict=True))
        rows = [(*row, more) for row, more in zip(rows, ("on common images", *map(_ascii, common)), strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(row, widths) for row in rows]
    lines += ["", printable(found.verdict()) + "." + _between(found)]
    lines += [f"Warning: {printable(said)}" for said in found.warnings()]
    if found.differing:
        lines += ["", "Settings that differ:"]
        for key, values in list(found.differing.items())[:SETTINGS]:
            said = " | ".join(printable(clipped(value, 40)) if value != ABSENT else "-" for value in values)
            lines.append(f"  {printable(key)}: {said}")
        left = len(found.differing) - SETTINGS
        lines += [f"  and {left} more"] if left > 0 else []
    return "\n".join(lines)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """A row of the table: its name to the left, its figures to the right."""
    figures = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *figures])


def _between(found: Comparison) -> str:
    if not found.close:
        return ""
    names = ", ".join(printable(found.runs[place].name) for place in (found.best, *found.close) if place is not None)
    if found.on_common:
        return f" On the common images these do not differ beyond chance: {names}."
    return f" The 95 % intervals overlap: {names}."


def _row(run: RunSummary) -> tuple[str, ...]:
    score = _ascii(formatted(run.score, run.score_form))
    span = " to ".join(_ascii(formatted(end, run.score_form)) for end in run.interval) if run.interval else "-"
    time = _ascii(seconds(run.seconds)) if run.seconds is not None else "-"
    size = f"{_ascii(quantity(run.megabytes))} MB" if run.megabytes is not None else "-"
    return printable(clipped(run.name, 40)), score, span, _ascii(number(run.images)), time, size


def _ascii(figure: str) -> str:
    """A figure without the gaps and dashes of typography."""
    return figure.replace(NO_BREAK, " ").replace(THIN, ",").replace(MINUS, "-").replace(DASH, "-")
