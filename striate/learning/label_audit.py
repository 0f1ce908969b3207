"""An audit for label errors: labels are compared with out-of-fold predictions on pretrained features."""

from __future__ import annotations

from dataclasses import replace

from striate.data.audit.audit import Audit, audit, require_learnable
from striate.data.audit.findings import Finding
from striate.data.sources.base import Source
from striate.learning.extraction import extract, feature_extractor, features_of
from striate.learning.head import cross_validated_head
from striate.learning.label_errors import LABEL_ERROR, label_errors
from striate.learning.split import Split
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import LabelError
from striate.weights.models import DEFAULT_BACKBONE, published_model

_WHY = "models that were not trained on the image predict another label: check them, the most likely errors first"


def audit_labels(source: Source, progress: Progress) -> tuple[Audit, list[LabelError]]:
    """The audit, made while extracting features with a pretrained net, and label errors, the most likely first.

    Raises RequestError for data that cannot be trained on.
    """
    extractor = feature_extractor(published_model(DEFAULT_BACKBONE), "auto", "auto", len(source.items))
    pairs, cache = extract(source, extractor, progress)
    found = audit(source, pairs, progress=progress)
    require_learnable(found, source.name)
    features = features_of(found.usable, cache)
    split, recipe = Split(found, ["train"] * len(found.usable)), Recipe()
    errors = label_errors(found, cross_validated_head(split, features, recipe).out_of_fold)
    if errors:
        keys = tuple(found.usable[one.index].item.key for one in errors)
        remarks = tuple(f"{one.label}, or rather {one.suggested}?" for one in errors)
        finding = Finding(LABEL_ERROR, "kept", _WHY, keys, remarks)
        found = replace(found, findings=[finding, *found.findings])
    return found, errors
