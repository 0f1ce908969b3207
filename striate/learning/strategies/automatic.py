"""Strategy "auto" with pretrained weights: fit the head, and fine-tune if its error leaves more room than noise."""

from __future__ import annotations

import dataclasses

from striate.data.sources.base import Source
from striate.learning.context import RunContext
from striate.learning.extensions import Extensions
from striate.learning.gain import Gain, expected_gain
from striate.learning.ood import open_ood
from striate.learning.planning import Plan
from striate.learning.prepare import Prepared, prepare_features
from striate.learning.result import TrainResult
from striate.learning.strategies.features import fit_head, with_fitted_head
from striate.recipe import Recipe
from striate.recipe.keys import VOTING_HEADS


def train(
    source: Source, plan: Plan, recipe: Recipe, context: RunContext, extensions: Extensions
) -> tuple[Plan, TrainResult]:
    """Fit a head on the features of `plan.net`, then decide, and return the plan as decided with the result."""
    ood = open_ood(recipe.data.ood)
    prepared = prepare_features(source, plan.net, recipe, context)
    fitted = fit_head(prepared, context)
    with context.stage("choose the strategy"):
        # A head that was asked for and is not linear stays: fine-tuning could not train it.
        gain = None if recipe.head.kind in VOTING_HEADS else expected_gain(prepared, fitted)
        plan = _decided(plan, prepared, gain, context)
    context.log("decision", {"strategy": plan.strategy, "why": plan.why})
    decided = context.recorded(recipe.updated({"strategy": plan.strategy}))
    prepared = dataclasses.replace(prepared, recipe=decided)
    if plan.strategy == "features":
        return plan, with_fitted_head(prepared, fitted, ood, context, extensions)
    from striate.learning.strategies.finetune import from_fitted_head  # imports torch

    return plan, from_fitted_head(prepared, fitted, ood, context, extensions)


def _decided(plan: Plan, prepared: Prepared, gain: Gain | None, context: RunContext) -> Plan:
    """The plan after the head's cross-validation; what was found and chosen is told before it is done."""
    if gain is None:
        return dataclasses.replace(plan, open=False)
    found = (
        f"cross-validated error of the head {100 * gain.error:.1f} % (± {100 * gain.noise:.1f}); fine-tuning would "
        f"remove about {_points(gain.expected)}"
    )
    strategy = "features"
    if not gain.worth:
        found += ", too little to be worth it"
    else:
        minutes = _minutes(prepared)
        if gain.affordable:
            strategy, found = "finetune", f"{found}: fine-tuning its upper stages, about {minutes}"
        else:
            found += f": that takes about {minutes}, with --best"
    context.progress.say(f"{found[0].upper()}{found[1:]}.")
    return dataclasses.replace(plan, strategy=strategy, why=f"{plan.why}; {found}", open=False)


def _points(share: float) -> str:
    points = round(100 * share, 1)
    return f"{points:g} percentage point{'' if points == 1 else 's'}"


def _minutes(prepared: Prepared) -> str:
    """The time of fine-tuning all folds and the model, from a timed step."""
    from striate.learning.finetuning_time import finetuning_seconds

    split, features = prepared.split, prepared.features
    assert features is not None
    images = len(split.rows("train"))
    if split.folds is not None:
        images += sum(len(split.fold_rows(fold)[0]) for fold in range(split.fold_count))
    minutes = max(1, round(finetuning_seconds(features.extractor.backbone, images, prepared.recipe) / 60))
    return f"{minutes:,} minute{'' if minutes == 1 else 's'}"
