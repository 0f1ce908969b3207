"""The bare training loop, for reading: only what `fit` does to the weights.

No hooks except clipping, no micro-batches, no memory formats, no checkpoints, one process, float32; no auxiliary
heads, uniform label smoothing, constant momentum. A test checks that `fit` gives the same loss curve.
"""

from __future__ import annotations

import torch
from torch import nn

from striate.data.augment.augmentation import Augmentation
from striate.recipe import Recipe
from striate.training.batches import batches, min_batch_of, sample_order
from striate.training.examples import Examples
from striate.training.optimizers import optimizer_for
from striate.training.schedule import Schedule
from striate.training.view import View


def fit_plain(net: nn.Module, examples: Examples, recipe: Recipe) -> list[float]:
    """Train `net` in place, on its own device; the mean loss of every epoch. Layers draw from torch's own generator."""
    view = View(examples, next(net.parameters()).device, Augmentation.of(recipe.augment), seed=recipe.seed)
    loss_of = examples.loss(recipe)
    optimizer = optimizer_for(net, recipe)
    epochs, smallest, curve, step = recipe.train.chosen_epochs(len(examples)), min_batch_of(net), [], 0
    net.train()
    for epoch in range(epochs):
        order = sample_order(len(examples), seed=recipe.seed, epoch=epoch, weights=examples.sampling_weights)
        drawn = list(batches(order, recipe.train.batch, min_batch=smallest))
        schedule = Schedule(recipe, epochs, len(drawn))
        losses = 0.0
        for batch in drawn:
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            shown = view.training_batch(batch, order, epoch)
            logits = net(shown.x)
            weights = view.sample_weights
            each = [share * weights[rows] * loss_of(logits, targets) for rows, share, targets in shown.parts]
            loss = torch.stack(each).sum(0).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.train.clip_norm:
                nn.utils.clip_grad_norm_(net.parameters(), recipe.train.clip_norm)
            optimizer.step()
            losses, step = losses + loss.item() * len(batch), step + 1
        curve.append(losses / sum(map(len, drawn)))
    net.eval()
    return curve
