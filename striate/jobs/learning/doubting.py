"""Doubting: an audit whose labels are held against the answers of nets that had not seen the images."""

from __future__ import annotations

from dataclasses import replace

from striate.data.audit.audit import Audit, audit, require_learnable
from striate.data.audit.findings import Finding
from striate.data.sources.base import Source
from striate.jobs.learning.describe import describe, describer, features_of
from striate.jobs.learning.features import fitted, unseen_answers
from striate.jobs.learning.learned import Lots
from striate.jobs.learning.suspects import DOUBTFUL_LABEL, suspects
from striate.jobs.models import published_model
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import LabelError
from striate.transfer.strategy import DEFAULT_BACKBONE

_DOUBT = "nets that had not seen the image would have said otherwise: look at them, the most doubtful first"


def doubted(source: Source, progress: Progress) -> tuple[Audit, list[LabelError]]:
    """The audit, made in the pass that describes the images by a pretrained net, and its doubtful labels, worst first.

    Raises RequestError where there is nothing to learn.
    """
    by = describer(published_model(DEFAULT_BACKBONE), "auto", "auto", len(source.items))
    pairs, cache = describe(source, by, progress)
    found = audit(source, pairs, progress=progress)
    require_learnable(found, source.name)
    features = features_of(found.usable, cache)
    lots, recipe = Lots(found, ["train"] * len(found.usable)), Recipe()
    doubts = suspects(found, unseen_answers(lots, features, recipe, fitted(lots, features, recipe).C))
    if doubts:
        keys = tuple(found.usable[one.index].item.key for one in doubts)
        remarks = tuple(f"{one.label}, or rather {one.suggested}?" for one in doubts)
        finding = Finding(DOUBTFUL_LABEL, "kept", _DOUBT, keys, remarks)
        found = replace(found, findings=[finding, *found.findings])
    return found, doubts
