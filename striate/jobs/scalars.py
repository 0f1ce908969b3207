"""The curves and metrics of a run for TensorBoard, if requested."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from striate.errors import RequestError, WorkError


def require_writer() -> Any:
    """The package that writes TensorBoard's files. Raises RequestError with the package to install."""
    try:
        return importlib.import_module("tensorboardX")
    except ImportError:
        raise RequestError("--tensorboard needs the package tensorboardX: pip install 'striate[tensorboard]'") from None


def write_scalars(
    folder: Path, curve: Sequence[Mapping[str, float]], metrics: Mapping[str, Any], seconds: Mapping[str, float]
) -> None:
    """Write curve (by epoch), metrics and seconds by stage as scalars below `folder`. Raises WorkError."""
    package = require_writer()
    try:
        with package.SummaryWriter(str(folder), write_to_disk=True) as writer:
            for row in curve:
                for name, value in row.items():
                    if name != "epoch":
                        writer.add_scalar(f"epoch/{name}", value, int(row["epoch"]))
            for group, values in (("measured", metrics), ("seconds", seconds)):
                for name, value in values.items():
                    if type(value) in (int, float) and math.isfinite(value):
                        writer.add_scalar(f"{group}/{name}", value, 0)
    except OSError as error:
        raise WorkError(f"cannot write TensorBoard's file in {str(folder)!r}: {error.strerror or error}") from error
