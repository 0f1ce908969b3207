"""Similarity of the images to a net's pretraining data, and the time for fine-tuning, both measured on a few images."""

from __future__ import annotations

import numpy as np

from striate.data.audit.looking import look
from striate.data.sources.base import Source
from striate.inference.predictor import Predictor
from striate.learning.planning import DataSummary, Plan, with_similarity, worth_finetuning
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION
from striate.weights.models import open_model, pretrained

LOOKED = 64  # images
STEP = 16  # images per timed step


def planned_by_similarity(source: Source, plan: Plan, seen: DataSummary, recipe: Recipe) -> Plan:
    """The plan after running some of the images through its net; unchanged if none can be read."""
    confidence = mean_confidence(source, plan.net, recipe.inference.engine)
    if confidence is None:
        return plan
    seconds = finetuning_seconds(plan.net, seen.count, recipe) if worth_finetuning(seen, confidence) else 0.0
    return with_similarity(plan, seen, confidence, seconds)


def mean_confidence(source: Source, net: str, engine: str = "auto") -> float | None:
    """The mean top-1 probability of the pretrained net over its own classes, on up to 64 images."""
    model = open_model(net)
    items = source.items[:: max(1, len(source.items) // LOOKED)][:LOOKED]
    crops = [one.crop for one in look(source, model.pixels, items=items) if one.crop is not None]
    if not crops:
        return None
    return float(Predictor(model, engine=engine).predictions(np.stack(crops)).max(axis=1).mean())


def finetuning_seconds(net: str, images: int, recipe: Recipe) -> float:
    """The expected time of fine-tuning on a number of images, from a timed step on noise."""
    import torch

    from striate.inference.backbones import net_of
    from striate.learning.strategies.finetune import EPOCHS, RATE
    from striate.training.examples import Examples
    from striate.training.loop import fit
    from striate.transfer.unfreezing import Unfreezing, rates

    model = pretrained(net)
    made, size = net_of(model), (model.pixels.height, model.pixels.width)
    noise = torch.randint(0, 256, (STEP, model.pixels.channels, *size), dtype=torch.uint8)
    examples = Examples(noise, torch.zeros(STEP, dtype=torch.int64), model.pixels.mean, model.pixels.std)
    chosen = recipe.finetune
    trial = recipe.for_trial().updated(
        {"train": {"epochs": 2, "batch": STEP, "accumulate": 1}, "augment": NO_AUGMENTATION, "optimizer.lr": RATE}
    )
    reports = fit(
        made, examples, trial,
        hooks=[Unfreezing(made, chosen.unfreeze, chosen.batch_norm)],
        rates=rates(made, chosen.unfreeze, chosen.layer_decay),
    )  # fmt: skip
    return (recipe.train.epochs or EPOCHS) * images * reports[-1].seconds / STEP  # the first is a warm-up
