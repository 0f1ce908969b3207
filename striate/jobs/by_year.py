"""Write the page of networks by year: error, depth and cost, as their papers have them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from striate.benchmarking.by_year import DATA, YearRow, year_report, year_rows
from striate.errors import RequestError
from striate.nets.catalog import Entry
from striate.progress import Progress
from striate.reading import given_path
from striate.report.page import render
from striate.storage import write_text


def by_year(nets: Sequence[Entry], out: str | os.PathLike[str], *, progress: Progress | None = None) -> list[YearRow]:
    """Write the page of these networks to `out`; those without a published error on ImageNet are left out.

    Raises RequestError if none has one.
    """
    path = given_path(out, "the page")
    if not any(net.published.get("data") == DATA and net.published.get("error") for net in nets):
        raise RequestError(f"none of these nets has a published top-1 error on {DATA}; see 'striate nets --sort error'")
    rows = year_rows(nets, progress)
    write_text(Path(path), render(year_report(rows)))
    return rows
