"""Usual ranges of keys whose own range only keeps out nonsense, and the space of a strategy where none is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate.recipe import Recipe
from striate.tasks import Task

# What "auto" stands for.
USUAL: dict[str, tuple[float, float]] = {
    "optimizer.lr": (1e-4, 1.0),
    "optimizer.weight_decay": (1e-6, 1e-2),
    "optimizer.momentum": (0.5, 0.99),
    "optimizer.beta1": (0.5, 0.99),
    "optimizer.beta2": (0.9, 0.9999),
    "optimizer.alpha": (0.9, 0.9999),
    "optimizer.epsilon": (1e-10, 1e-3),
    "schedule.warmup_epochs": (0.0, 5.0),
    "schedule.gamma": (0.05, 0.5),
    "schedule.step_epochs": (1.0, 50.0),
    "schedule.step_size": (10, 10_000),
    "schedule.period": (1.0, 50.0),
    "schedule.period_factor": (1.0, 3.0),
    "loss.label_smoothing": (0.0, 0.2),
    "loss.aux_weight": (0.0, 1.0),
    "train.epochs": (5, 100),
    "train.batch": (16, 256),
    "train.accumulate": (1, 16),
    "train.clip_norm": (0.1, 10.0),
    "train.l1": (1e-8, 1e-3),
    "train.ema_decay": (0.9, 0.9999),
    "train.stop_after": (1, 20),
    "finetune.unfreeze": (0, 4),
    "finetune.layer_decay": (0.1, 1.0),
    "head.cv_folds": (2, 10),
    "augment.flip": (0.0, 0.5),
    "augment.shear": (0.0, 20.0),
    "augment.rotate": (0.0, 30.0),
    "augment.shift": (0.0, 0.2),
    "augment.elastic": (0.0, 3.0),
    "augment.elastic_sigma": (2.0, 8.0),
    "augment.colour": (0, 60),
    "augment.lighting": (0.0, 0.2),
    "augment.cutout": (0.0, 0.5),
    "augment.pixel_dropout": (0.0, 0.3),
    "augment.mixup": (0.0, 0.5),
}

# Keys whose effect goes by factors rather than by differences.
LOGARITHMIC = {
    "optimizer.lr",
    "optimizer.weight_decay",
    "optimizer.epsilon",
    "schedule.step_size",
    "schedule.step_epochs",
    "schedule.period",
    "schedule.gamma",
    "train.epochs",
    "train.batch",
    "train.accumulate",
    "train.clip_norm",
    "train.l1",
}

_BELOW, _ABOVE = 30, 10  # factors of the optimizer's default learning rate that are searched


def usual_space(strategy: str, recipe: Recipe, task: Task, nets: Sequence[str], rate: float) -> dict[str, Any]:
    """The space of a strategy where none is given, as a space file has it.

    nets: backbones that are here, for the strategies that start from one. rate: the default peak learning rate.
    Keys that the recipe sets are not searched.
    """
    space: dict[str, Any] = {}
    rates = {"low": rate / _BELOW, "high": rate * _ABOVE, "log": True}
    if strategy == "features":
        space["head.kind"] = _heads(task)
        if task.one_class:
            space["data.balance"] = ["none", "weights"]
        else:
            space["loss.name"] = list(task.losses)
            space["head.cv_folds"] = [3, 5, 10]
        space["net.name"] = list(nets)
    elif strategy == "finetune":
        space |= {"optimizer.lr": rates, "finetune.unfreeze": {"low": 1, "high": 4}}
        space |= {"finetune.layer_decay": {"low": 0.1, "high": 1.0}, "optimizer.weight_decay": "auto"}
    else:
        space |= {"optimizer.lr": rates, "optimizer.weight_decay": "auto", "train.batch": [32, 64, 128]}
        if task.one_class:
            space["loss.label_smoothing"] = "auto"
    unset, values = Recipe().values(), recipe.values()
    kept = {name: given for name, given in space.items() if values.get(name) == unset.get(name, values.get(name))}
    return {name: given for name, given in kept.items() if not isinstance(given, list) or len(given) > 1}


def _heads(task: Task) -> list[str]:
    """The kinds of linear heads that fit the task; the support vector machine needs scikit-learn."""
    import importlib.util

    if not task.one_class:
        return ["logistic"]
    return ["logistic", *(["svm"] if importlib.util.find_spec("sklearn") else []), "bayes"]
