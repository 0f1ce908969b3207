"""Label errors: images whose label is unlikely under models that were not trained on them, the likeliest errors first.

Source: Northcutt et al. 2021, arXiv:1911.00068 (out-of-sample probabilities find label errors); the ranking is the
label's own probability, their "self-confidence".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit
from striate.task import Target

LABEL_ERROR = "label-error"  # the kind of finding that they are


@dataclass(frozen=True)
class LabelError:
    """place: in `audit.usable`. label, suggested: in words. Probabilities by models not trained on the image.

    target: what is suggested, as a target. For a number there are no probabilities: both are NaN.
    """

    place: int
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float
    target: Target


def label_errors(found: Audit, out_of_fold: NDArray[np.float32]) -> list[LabelError]:
    """Images whose label is not what is predicted, the likeliest label errors first.

    out_of_fold [usable, outputs]: predictions by models that were not trained on the image; NaN for images without one.
    """
    places = np.flatnonzero(np.isfinite(out_of_fold[:, 0])).tolist()
    ranked = (
        _far_off(found, places, out_of_fold)
        if found.task.kind == "number"
        else _disbelieved(found, places, out_of_fold)
    )
    return [error for _, error in sorted(ranked, key=lambda row: row[0])]


Ranked = list[tuple[float, LabelError]]  # the smaller the first, the likelier a label error


def _far_off(found: Audit, places: list[int], out_of_fold: NDArray[np.float32]) -> Ranked:
    """Numbers further from the prediction than four standard deviations, by the median absolute error."""
    task = found.task
    targets = task.targets(found.usable[place].item for place in places)
    predictions = out_of_fold[places, 0]
    errors = np.abs(predictions - targets)
    far = 4 * 1.4826 * float(np.median(errors)) if places else 0.0
    return [
        (-error, LabelError(place, task.spoken(target), f"{prediction:.3g}", np.nan, np.nan, prediction))
        for place, error, prediction, target in zip(
            places, errors.tolist(), predictions.tolist(), targets.tolist(), strict=True
        )
        if error > far
    ]


def _disbelieved(found: Audit, places: list[int], out_of_fold: NDArray[np.float32]) -> Ranked:
    """Classes and labels that are not what is predicted."""
    task, ranked = found.task, []
    for place in places:
        prediction, target = out_of_fold[place], found.usable[place].item.target
        predicted: Target
        if isinstance(target, tuple):
            predicted = tuple(np.flatnonzero(task.given(prediction[None])[0]).tolist())
            own = np.where(np.isin(np.arange(task.outputs), target), prediction, 1 - prediction)
            least = int(own.argmin())  # the least likely label
            sure, other = float(own[least]), float(1 - own[least])
        else:
            predicted = int(prediction.argmax())
            sure, other = float(prediction[int(target)]), float(prediction[predicted])
        if predicted != target:
            ranked.append(
                (sure, LabelError(place, task.spoken(target), task.spoken(predicted), sure, other, predicted))
            )
    return ranked
