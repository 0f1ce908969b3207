"""How near the images are to what a published net knows, and what tuning it would take: both measured, on a few."""

from __future__ import annotations

import numpy as np

from striate.data.audit.looking import look
from striate.data.sources.base import Source
from striate.inference.classifier import Classifier
from striate.jobs.models import open_model, pretrained
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION
from striate.transfer.strategy import Glance, Plan, reconsidered, wants_tuning

LOOKED = 64  # images
STEP = 16  # images a measured step


def looked_closer(source: Source, plan: Plan, seen: Glance, recipe: Recipe) -> Plan:
    """The plan once some of the images were shown to its net; as it was where none of them can be read."""
    sure = sureness(source, plan.net, recipe.inference.engine)
    if sure is None:
        return plan
    seconds = tuning_seconds(plan.net, seen.count, recipe) if wants_tuning(seen, sure) else 0.0
    return reconsidered(plan, seen, sure, seconds)


def sureness(source: Source, net: str, engine: str = "auto") -> float | None:
    """The mean of the highest probability that the pretrained net gives any of its own classes, of up to 64 images."""
    model = open_model(net)
    items = source.items[:: max(1, len(source.items) // LOOKED)][:LOOKED]
    crops = [one.crop for one in look(source, model.pixels, items=items) if one.crop is not None]
    if not crops:
        return None
    return float(Classifier(model, engine=engine).answers(np.stack(crops)).max(axis=1).mean())


def tuning_seconds(net: str, images: int, recipe: Recipe) -> float:
    """What fine-tuning on so many images is expected to take, from a step on noise."""
    import torch

    from striate.inference.trunks import net_of
    from striate.jobs.learning.finetune import EPOCHS, RATE
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
    return (recipe.train.epochs or EPOCHS) * images * reports[-1].seconds / STEP  # the first step also makes ready
