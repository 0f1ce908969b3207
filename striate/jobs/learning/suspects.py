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

DOUBTFUL_LABEL = "doubtful-label"  # the kind of finding that they are


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
    task, usable = found.task, found.usable
    places = np.flatnonzero(np.isfinite(unseen[:, 0])).tolist()
    answers = unseen[places]
    ranked: list[tuple[float, Suspect]] = []
    if task.kind == "number":
        targets = task.targets(usable[place].item for place in places)
        errors = answers[:, 0] - targets
        far = 4 * 1.4826 * float(np.median(np.abs(errors))) if len(errors) else 0.0  # four deviations, if normal
        for place, error, answer, target in zip(places, errors, answers[:, 0], targets, strict=True):
            if abs(error) > far:
                words = task.spoken(float(target)), f"{float(answer):.3g}"
                ranked.append((-abs(float(error)), Suspect(place, *words, np.nan, np.nan, float(answer))))
    for place, answer in zip(places, answers, strict=True) if task.kind != "number" else ():
        target = usable[place].item.target
        said: Target
        if isinstance(target, tuple):
            said = tuple(np.flatnonzero(task.given(answer[None])[0]).tolist())
            own = np.where(np.isin(np.arange(task.outputs), target), answer, 1 - answer)
            least = int(own.argmin())  # the label that is least believed
            sure, other = float(own[least]), float(1 - own[least])
        else:
            best = int(answer.argmax())
            sure, other, said = float(answer[int(target)]), float(answer[best]), best
        if said != target:
            ranked.append((sure, Suspect(place, task.spoken(target), task.spoken(said), sure, other, said)))
    return [suspect for _, suspect in sorted(ranked, key=lambda row: row[0])]
