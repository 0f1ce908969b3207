"""What an ensemble gains over its members, on the same labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.data.sources.base import Item, Source
from striate.inference.averaging import AveragePredictor
from striate.inference.evaluation import predict_on
from striate.progress import Progress
from striate.tasks import Evaluation
from striate.tasks.paired import PairedGain, paired_gain
from striate.tasks.values import or_none


@dataclass(frozen=True, eq=False)
class EnsembleEvaluation:
    """The evaluation of an ensemble and of each member, on the same images.

    over_best: the gain over the member that is best on these images, which favours that member. over_mean: over the
    mean of the members.
    """

    evaluation: Evaluation
    members: tuple[Evaluation, ...]
    over_best: PairedGain
    over_mean: PairedGain

    @property
    def best(self) -> int:
        """The place of the best member, the first of equal ones."""
        return _best(self.members)

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares are 0..1."""
        return {
            **self.evaluation.as_dict(),
            "members": [or_none(one.score) for one in self.members],
            "gain_over_best": self.over_best.as_dict(),
            "gain_over_mean": self.over_mean.as_dict(),
        }


def evaluate_ensemble(
    predictor: AveragePredictor, source: Source, items: Sequence[Item], part: str, progress: Progress | None = None
) -> EnsembleEvaluation:
    """Evaluate an ensemble and its members on some images of a source. part: what the images are called.

    Raises RequestError if the data have another task, or none of the model's classes.
    """
    parts = predictor.averaged
    found = predict_on(source, items, part, predictor.task, parts, progress)
    whole = found.evaluated([one.weight for one in parts])
    members = tuple(found.evaluated([float(one is other) for other in parts]) for one in parts)
    over_best = paired_gain(whole, [members[_best(members)]])
    return EnsembleEvaluation(whole, members, over_best, paired_gain(whole, members))


def _best(members: Sequence[Evaluation]) -> int:
    sign = 1 if members[0].task.metric.share else -1
    return max(range(len(members)), key=lambda place: sign * members[place].score)
