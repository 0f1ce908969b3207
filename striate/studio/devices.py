"""The devices on which trainings run: one at a time on the processor, or one on each GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence

from striate.inference.choosing import gpu_count

VISIBLE = "CUDA_VISIBLE_DEVICES"


def devices() -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES is for a training on each device; ("",) for the processor alone, which needs none."""
    count = gpu_count()
    named = [one.strip() for one in os.environ.get(VISIBLE, "").split(",") if one.strip()]
    return tuple(named[:count] if named else map(str, range(count))) or ("",)


def free(all_of_them: Sequence[str], taken: Sequence[str]) -> str | None:
    """The first device on which nothing runs; None if there is none. taken: also by names of another start."""
    if len(taken) >= len(all_of_them):
        return None
    return next((one for one in all_of_them if one not in taken), None)


def environment(device: str) -> dict[str, str] | None:
    """The environment of a process on a device; None for this one's."""
    return {**os.environ, VISIBLE: device} if device else None
