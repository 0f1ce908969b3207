"""Labels to doubt: images whose label models that had not learnt from them find unlikely, the unlikeliest first.

Source: Northcutt et al. 2021, arXiv:1911.00068 (out-of-sample probabilities find label errors); the ranking is the
label's own probability, their "self-confidence".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit
from striate.task import Target

DOUBTFUL_LABEL = "label-error"  # the kind of finding that they are


@dataclass(frozen=True)
class Suspect:
    """place: in `audit.usable`. label, suggested: in words. Probabilities by models that had not seen the image.

    target: what is suggested, as a target. For a number there are no probabilities: both are NaN.
    """

    place: int
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    target: Target


def suspects(found: Audit, unseen: NDArray[np.float32]) -> list[Suspect]:
    """Images whose label is not what is answered, the most doubtful first.

    unseen [usable, outputs]: answers by models that had not learnt from the image; NaN for images without one.
    """
    places = np.flatnonzero(np.isfinite(unseen[:, 0])).tolist()
    ranked = _far_off(found, places, unseen) if found.task.kind == "number" else _disbelieved(found, places, unseen)
    return [suspect for _, suspect in sorted(ranked, key=lambda row: row[0])]


Ranked = list[tuple[float, Suspect]]  # the smaller the first, the more doubtful


def _far_off(found: Audit, places: list[int], unseen: NDArray[np.float32]) -> Ranked:
    """Numbers further from the answer than four deviations, were the errors normal."""
    task = found.task
    targets = task.targets(found.usable[place].item for place in places)
    answers = unseen[places, 0]
    errors = np.abs(answers - targets)
    far = 4 * 1.4826 * float(np.median(errors)) if places else 0.0
    return [
        (-error, Suspect(place, task.spoken(target), f"{answer:.3g}", np.nan, np.nan, answer))
        for place, error, answer, target in zip(
            places, errors.tolist(), answers.tolist(), targets.tolist(), strict=True
        )
        if error > far
    ]


def _disbelieved(found: Audit, places: list[int], unseen: NDArray[np.float32]) -> Ranked:
    """Classes and labels that are not what is answered."""
    task, ranked = found.task, []
    for place in places:
        answer, target = unseen[place], found.usable[place].item.target
        said: Target
        if isinstance(target, tuple):
            said = tuple(np.flatnonzero(task.given(answer[None])[0]).tolist())
            own = np.where(np.isin(np.arange(task.outputs), target), answer, 1 - answer)
            least = int(own.argmin())  # the label that is least believed
            sure, other = float(own[least]), float(1 - own[least])
        else:
            said = int(answer.argmax())
            sure, other = float(answer[int(target)]), float(answer[said])
        if said != target:
            ranked.append((sure, Suspect(place, task.spoken(target), task.spoken(said), sure, other, said)))
    return ranked
