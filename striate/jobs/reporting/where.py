"""The section of where the network looks: class maps of the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.errors import StriateError
from striate.model import Model
from striate.sections import ColourScale, MapPicture, MapPictures, Section, Strong
from striate.tasks import Evaluation
from striate.tasks.report_common import Example

ANCHOR, SHOWN = "where-it-looks", 4
MOST_WEIGHTS = 30_000_000  # of a network that is run a few times more for a report
LEAD = (
    "What each place adds to an output, in the worst mistakes: the mean of a map plus the bias is the output. "
    "All maps have one scale. 'striate inspect RUN IMAGE' has more, and checks whether a map can be trusted."
)


def where_section(model: Model, evaluation: Evaluation, examples: Sequence[Example]) -> Section | None:
    """Class maps of up to four of the worst mistakes, of the predicted and the true output.

    None where there are no mistakes, where the map is not exact, or where the network is large.
    """
    shown = examples[:SHOWN]
    if not shown or sum(tensor.size for tensor in model.tensors.values()) > MOST_WEIGHTS:
        return None
    from striate.inference.backbones import net_of, normalised  # torch
    from striate.inspect.class_maps import class_map

    task = evaluation.task
    crops = np.stack([one.image if one.image.ndim == 3 else one.image[..., None] for one in shown])
    asked = [_asked(evaluation, one.row) for one in shown]
    rows = [row for row, outputs in enumerate(asked) for _ in outputs]
    try:
        images = normalised(crops, model)[rows]
        found = class_map(net_of(model), images, [place for outputs in asked for place in outputs])
    except StriateError:  # no stage has a map, or the net takes no such images
        return None
    if not found.exact:
        return None
    unit = "logits" if task.wording.names_listed else task.names[0]
    scale = ColourScale(float(np.abs(found.values).max()) or 1.0, unit, "for", "against")
    places = [place for outputs in asked for place in outputs]
    pictures = tuple(
        MapPicture(shown[row].image, _caption(evaluation, shown[row], place), values, scale)
        for row, place, values in zip(rows, places, found.values, strict=True)
    )
    return Section(ANCHOR, "Where it looks", (MapPictures(pictures),), LEAD)


def _asked(evaluation: Evaluation, row: int) -> tuple[int, ...]:
    """The predicted output, and the first of the target's if it is another."""
    predicted = int(evaluation.predictions[row].argmax())
    target = evaluation.targets[row]
    true = int(target) if evaluation.task.one_class else predicted
    return (predicted,) if true == predicted else (predicted, true)


def _caption(evaluation: Evaluation, one: Example, place: int) -> tuple[str | Strong, ...]:
    task = evaluation.task
    predicted = place == int(evaluation.predictions[one.row].argmax())
    what = "predicted" if predicted else "true"
    return (f"{one.path}: for ", Strong(task.names[place]), f", the {what} {task.wording.one}")
