"""What a strategy hands back: a model, what it was learnt from, and its answers on the held-out images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit import Audit
from striate.model import Model

Log = Callable[[str, dict[str, Any]], None]  # an event and its facts: a line of log.jsonl


@dataclass
class Learned:
    """parts: of each usable image. probabilities: of the measured part's images, in order. engine: in words.

    curve: a row an epoch. facts: what the strategy chose, for the model file and the log. notes: lines for the user.
    """

    model: Model
    audit: Audit
    parts: list[str]
    measured_part: str
    probabilities: NDArray[np.float32]
    engine: str
    precision: str
    curve: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rows(self, part: str) -> list[int]:
        """Places in `audit.usable` of the images of a part."""
        return [index for index, name in enumerate(self.parts) if name == part]

    def labels(self, part: str) -> NDArray[np.int64]:
        """Their labels."""
        return np.array([self.audit.usable[index].item.target for index in self.rows(part)], np.int64)
