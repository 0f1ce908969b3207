"""An audit for label errors: labels are compared with out-of-fold predictions on pretrained features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from striate.data.audit.audit import Audit, audit, require_learnable
from striate.data.audit.findings import Finding
from striate.data.sources.base import Source
from striate.learning.extraction import extract, feature_extractor, features_of
from striate.learning.head import cross_validated_head
from striate.learning.label_errors import HARD_IMAGE, LABEL_ERROR, Suspects, label_errors
from striate.learning.split import Split
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import LabelError
from striate.weights.models import DEFAULT_BACKBONE, published_model

_WHY = "models that were not trained on the image predict another label: check them, the most likely errors first"
_COUNTED = f"{_WHY}; about so many labels are estimated to be wrong"
_HARD = "models that were not trained on the image predict another label, but the label is probably right"


def audit_labels(source: Source, progress: Progress) -> tuple[Audit, Suspects]:
    """The audit, made while extracting features with a pretrained net, and the images whose label is doubtful.

    Raises RequestError for data that cannot be trained on.
    """
    extractor = feature_extractor(published_model(DEFAULT_BACKBONE), "auto", "auto", len(source.items))
    pairs, cache = extract(source, extractor, progress)
    found = audit(source, pairs, progress=progress)
    require_learnable(found, source.name)
    features = features_of(found.usable, cache)
    split, recipe = Split(found, ["train"] * len(found.usable)), Recipe()
    errors = label_errors(found, cross_validated_head(split, features, recipe).out_of_fold)
    likely = _finding(found, LABEL_ERROR, _COUNTED if found.task.one_class else _WHY, errors.likely)
    hard = _finding(found, HARD_IMAGE, _HARD, errors.hard)
    return replace(found, findings=[*likely, *found.findings, *hard]), errors


def _finding(found: Audit, kind: str, why: str, errors: Sequence[LabelError]) -> list[Finding]:
    if not errors:
        return []
    keys = tuple(found.usable[one.index].item.key for one in errors)
    remarks = tuple(f"{one.label}, or rather {one.suggested}?" for one in errors)
    return [Finding(kind, "kept", why, keys, remarks)]
