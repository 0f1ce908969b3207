"""What an architecture search found: its studies, and the networks that were trained at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.report.compare.summary import RunSummary
from striate.tuning.architecture.objective import Objective
from striate.tuning.architecture.search import Study
from striate.tuning.architecture.space import Space
from striate.tuning.architecture.trial import Trial


@dataclass(frozen=True)
class Finalist:
    """A network that was trained on the whole training part. name: "found", "random" or the baseline's.

    trial: of the search; None for the baseline. parameters, madds: at the size that it was trained at. run: its scores
    on the held-out images.
    """

    name: str
    trial: Trial | None
    parameters: int
    madds: int
    run: RunSummary


@dataclass(frozen=True, eq=False)
class FoundArchitecture:
    """A finished search. studies: the chosen sampler's and the random one's. options: of the found network."""

    folder: Path
    space: Space
    objective: Objective
    studies: tuple[Study, ...]
    options: Mapping[str, object]
    finalists: tuple[Finalist, ...]
    data: str
    settings: Mapping[str, Any]

    @property
    def best(self) -> Trial:
        """The trial with the highest reward of the chosen sampler."""
        best = self.studies[0].best or self.studies[-1].best
        assert best is not None  # checked when the search ended
        return best

    def as_dict(self) -> dict[str, Any]:
        """The search as JSON values."""
        return {
            "out": str(self.folder),
            "net": self.space.net,
            "options": dict(self.options),
            "best": self.best.as_dict(),
            "trials": {study.sampler: len(study.trials) for study in self.studies},
            "failed": sum(len(study.trials) - len(study.succeeded) for study in self.studies),
            "finalists": [
                {
                    "name": one.name,
                    "net": one.run.net,
                    "parameters": one.parameters,
                    "madds": one.madds,
                    "accuracy": one.run.score,
                    "interval": list(one.run.interval or ()),
                }
                for one in self.finalists
            ],
        }
