"""The time that fine-tuning will take, from a timed step."""

from __future__ import annotations

from striate.model import Model
from striate.recipe import Recipe
from striate.recipe.augment import NO_AUGMENTATION

STEP = 16  # images per timed step


def finetuning_seconds(model: Model, images: int, recipe: Recipe) -> float:
    """The expected time of fine-tuning a pretrained model on a number of images, from a timed step on noise."""
    import torch

    from striate.inference.backbones import net_of
    from striate.learning.checks import FINETUNED_RATE
    from striate.learning.gain import EPOCHS
    from striate.training.examples import Examples
    from striate.training.loop import fit
    from striate.transfer.unfreezing import Unfreezing, rates

    made, size = net_of(model), (model.pixels.height, model.pixels.width)
    noise = torch.randint(0, 256, (STEP, model.pixels.channels, *size), dtype=torch.uint8)
    examples = Examples(noise, torch.zeros(STEP, dtype=torch.int64), model.pixels.mean, model.pixels.std)
    chosen = recipe.finetune
    trial = recipe.for_trial().updated(
        {
            "train": {"epochs": 2, "batch": STEP, "accumulate": 1},
            "augment": NO_AUGMENTATION,
            "optimizer.lr": FINETUNED_RATE,
        }
    )
    reports = fit(
        made, examples, trial,
        hooks=[Unfreezing(made, chosen.unfreeze, chosen.batch_norm)],
        rates=rates(made, chosen.unfreeze, chosen.layer_decay),
    )  # fmt: skip
    return (recipe.train.epochs or EPOCHS) * images * reports[-1].seconds / STEP  # the first is a warm-up
