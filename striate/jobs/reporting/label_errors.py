"""The section of likely label errors."""

from __future__ import annotations

from collections.abc import Sequence

from striate.jobs.reporting.pictures import Pictures
from striate.sections import Gallery, Picture, Section, Step, Strong
from striate.sections.wording import counted, percent
from striate.tasks import LabelError

ANCHOR, PICTURED = "label-errors", 24


def label_error_section(found: Sequence[LabelError], pictures: Pictures) -> Section | None:
    """The likely label errors, the likeliest first; None if there are none."""
    if not found:
        return None
    crops = pictures.images(error.index for error in found[:PICTURED])
    lead = (
        "Images whose given label has a low out-of-fold probability: each was predicted by models not trained on it. "
        "The likeliest label errors first. Check each; some are right, and the image is unusual."
    )
    shown = [Picture(crops.get(one.index), _caption(one), pictures.path(one.index)) for one in found]
    gallery = Gallery(tuple(shown), noun="likely label error", listed=True)
    return Section(ANCHOR, "Likely label errors", (gallery,), lead)


def _caption(one: LabelError) -> tuple[str | Strong, ...]:
    own, other = _share(one.label_probability), _share(one.suggested_probability)
    return "given ", Strong(one.label), f"{own}, predicted ", Strong(one.suggested), other


def _share(probability: float) -> str:
    return f" ({percent(probability)})" if probability == probability else ""  # NaN: the task has no probabilities


def label_error_step(found: Sequence[LabelError]) -> list[Step]:
    """The advice to check them."""
    if not found:
        return []
    why = "Models that were not trained on these images predict another label."
    return [Step(ANCHOR, f"Check {counted(len(found), 'likely label error')}", why)]
