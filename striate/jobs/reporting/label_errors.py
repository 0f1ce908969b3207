"""The section of likely label errors and hard images."""

from __future__ import annotations

from collections.abc import Sequence

from striate.jobs.reporting.pictures import Pictures
from striate.learning.label_errors import Suspects
from striate.sections import Block, Gallery, Heading, Picture, Section, Step, Strong, Text
from striate.sections.wording import counted, percent
from striate.tasks import LabelError

ANCHOR, PICTURED, HARD_PICTURED = "label-errors", 24, 12

_LIKELY = (
    "Images whose given label has a low out-of-fold probability: each was predicted by models not trained on it. "
    "The likeliest label errors first. Check each; some are right, and the image is unusual."
)
_HARD = "Predicted as another class by models not trained on them, but the label is probably right."


def label_error_section(found: Suspects, pictures: Pictures) -> Section | None:
    """The likely label errors, the likeliest first, then the hard images; None if there are none."""
    if not found.ranked:
        return None
    hard: tuple[Block, ...] = ()
    if found.hard:
        gallery = _gallery(found.hard, pictures, HARD_PICTURED, "hard image", small=True)
        hard = (Heading("Hard images"), Text(_HARD, "quiet"), gallery) if found.likely else (gallery,)
    if not found.likely:
        return Section(ANCHOR, "Hard images", hard, f"No label is estimated to be wrong. {_HARD}")
    likely = _gallery(found.likely, pictures, PICTURED, "likely label error")
    return Section(ANCHOR, "Likely label errors", (likely, *hard), _lead(found))


def _lead(found: Suspects) -> str:
    if not found.hard:
        return _LIKELY
    others = counted(len(found.ranked), "label")
    return f"{_LIKELY} Of {others} that models doubt, about {len(found.likely):,} are estimated to be wrong."


def _gallery(
    found: Sequence[LabelError], pictures: Pictures, pictured: int, noun: str, *, small: bool = False
) -> Gallery:
    crops = pictures.images(error.index for error in found[:pictured])
    shown = [Picture(crops.get(one.index), _caption(one), pictures.path(one.index)) for one in found]
    return Gallery(tuple(shown), noun=noun, listed=True, small=small)


def _caption(one: LabelError) -> tuple[str | Strong, ...]:
    own, other = _share(one.label_probability), _share(one.suggested_probability)
    return "given ", Strong(one.label), f"{own}, predicted ", Strong(one.suggested), other


def _share(probability: float) -> str:
    return f" ({percent(probability)})" if probability == probability else ""  # NaN: the task has no probabilities


def label_error_step(likely: Sequence[LabelError]) -> list[Step]:
    """The advice to check them."""
    if not likely:
        return []
    why = "Models that were not trained on these images predict another label."
    return [Step(ANCHOR, f"Check {counted(len(likely), 'likely label error')}", why)]
