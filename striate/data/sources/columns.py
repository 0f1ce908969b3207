"""The columns of a manifest: which is the image's path and which its target, and what to say of other tables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.data.sources.base import SUFFIXES as IMAGES
from striate.data.sources.rows import few
from striate.errors import RequestError, printable
from striate.tasks import Captioning, Classification, Multilabel, Regression, Task

COLUMNS = {
    "path": ("path", "file", "filename", "image"),
    "label": ("label", "class"),
    "labels": ("labels",),
    "caption": ("caption", "captions"),
    "number": ("number", "value", "target"),
    "split": ("split", "part"),
    "weight": ("weight",),
    "group": ("group",),
}
# Names that are read where no column has one of those above.
ALSO = {
    "path": (
        "file_name", "filepath", "file_path", "image_path", "img_path", "image_name", "imagepath", "imagename", "img",
        "file name", "file path", "image name", "image path",
    ),
    "label": ("class_name", "label_name", "category", "classname", "class name"),
    "labels": ("tags",),
    "caption": ("sentence", "sentences"),
    "split": ("subset",),
}  # fmt: skip
TARGETS: dict[str, type[Task]] = {
    "label": Classification,
    "labels": Multilabel,
    "caption": Captioning,
    "number": Regression,
}
ROLES = {name: role for role, names in COLUMNS.items() for name in names}
OTHERS = {name: role for role, names in ALSO.items() for name in names}
SIMILAR = 0.75  # of two names, for "did you mean"
_PIXEL = re.compile(r"(?:pixel|px|p|pix)?[ _-]?\d+|\d+x\d+", re.IGNORECASE)
MANY_PIXELS = 16  # columns that look like pixels, from which a table is one of pixels

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class OneHot:
    """Columns of 0 and 1 that are one label each. exclusive: whether each row has exactly one."""

    columns: tuple[str, ...]
    exclusive: bool

    def labels(self, row: Mapping[str, Any]) -> list[str]:
        """The labels of a row."""
        return [column for column in self.columns if _bit(row.get(column)) == 1]


def roles_of(path: Path, columns: Sequence[str], rows: Rows) -> tuple[dict[str, str], OneHot | None]:
    """Role -> its column, and columns that are one-hot targets, if there are any instead of one column.

    Raises RequestError, saying what the table seems to be, if a required column is missing.
    """
    here = f"the manifest {str(path)!r}"
    roles: dict[str, str] = {}
    for column in columns:
        name, colon, _ = column.partition(":")
        role = ROLES.get(name.strip().casefold(), "")
        if not role or (colon and role != "number"):
            continue
        if role in roles:
            raise RequestError(f"{here} has two columns for the {role}, {roles[role]!r} and {column!r}; keep one")
        roles[role] = column
    for column in columns:
        role = OTHERS.get(column.strip().casefold(), "")
        if role and role not in roles and not (role in TARGETS and roles.keys() & TARGETS.keys()):
            roles[role] = column
    if "caption" in roles and len(roles.keys() & TARGETS.keys()) > 1:
        del roles["caption"]  # beside a class it is a remark, not the target
    targets = [roles[role] for role in TARGETS if role in roles]
    if "path" not in roles or not targets:
        known = _known_table(here, columns, rows)
        if known:
            raise RequestError(known)
    there = f"it has {few(columns) or 'none'}"
    if "path" not in roles:
        raise RequestError(f"{here} has no column path (or {', '.join(COLUMNS['path'][1:])}); {_near(there, columns)}")
    if not targets:
        if one_hot := _one_hot(columns, roles, rows):
            return roles, one_hot
        raise RequestError(f"{here} has no column label, labels, caption or number; {_near(there, columns)}")
    if len(targets) > 1:
        listed = " and ".join(targets)
        raise RequestError(f"{here} has the columns {listed}; one of label, labels, caption or number is needed")
    return roles, None


def unused(columns: Sequence[str], roles: Mapping[str, str], one_hot: OneHot | None) -> list[str]:
    """The columns that are not read."""
    used = {*roles.values(), *(one_hot.columns if one_hot else ())}
    return [column or "(no name)" for column in columns if column not in used]


def _one_hot(columns: Sequence[str], roles: Mapping[str, str], rows: Rows) -> OneHot | None:
    """The columns besides those with a role, if all of their cells are 0 or 1."""
    rest = [column for column in columns if column and column not in roles.values()]
    rest = [column for column in rest if rows and all(_bit(row.get(column)) is not None for row in rows)]
    if len(rest) < 2:
        return None
    sums = {sum(_bit(row.get(column)) or 0 for column in rest) for row in rows}
    return OneHot(tuple(rest), sums == {1})


def _bit(value: Any) -> int | None:
    """0 or 1, as a number or text; None for anything else."""
    text = str(value).strip().lower()
    return {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}.get(text)


def _known_table(here: str, columns: Sequence[str], rows: Rows) -> str:
    """What to say of a table that is known to be of another kind; "" for any other."""
    names = {column.strip().casefold() for column in columns}
    if names & {"annotation_id", "lead_time", "annotator"} and "choice" in names:
        return (
            f"{here} is an export of Label Studio: rename the column choice to label, and write the images' paths as "
            "they are on this machine, or export as JSON and give that file"
        )
    pixels = [column for column in columns if _PIXEL.fullmatch(column.strip())]
    if len(pixels) >= MANY_PIXELS or "pixels" in names:
        return (
            f"{here} holds the pixels themselves, not the paths of image files; save each row as an image in a folder "
            "of its class, or all of them as arrays images and labels in an .npz file"
        )
    if not names & ROLES.keys() and _is_row(columns):
        first = printable(",".join(columns)[:60])
        return f"{here} has no header line: its first line is {first!r}; write path,label above it"
    return ""


def _is_row(columns: Sequence[str]) -> bool:
    """Whether a header is a row: one of its names is that of an image file, or a number."""
    endings = tuple(IMAGES)
    return any(column.strip().lower().endswith(endings) for column in columns) or (
        any("/" in column or "\\" in column for column in columns)
    )


def _near(there: str, columns: Sequence[str]) -> str:
    """A hint at the column that is probably misspelled."""
    for column in columns:
        near = difflib.get_close_matches(column.strip().casefold(), ROLES, n=1, cutoff=SIMILAR)
        if near and column.strip().casefold() not in ROLES:
            return f"{there}; did you mean {near[0]!r} by {column[:60]!r}?"
    return there
