"""Recipes that several studies share."""

from __future__ import annotations

# ResNet's on CIFAR-10: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2.
PAPER = {
    "optimizer.name": "momentum",
    "optimizer.lr": 0.1,
    "optimizer.weight_decay": 1e-4,
    "schedule.name": "step",
    "schedule.milestones": [91, 136],
    "schedule.warmup_epochs": 0.0,
    "train.batch": 128,
    "train.epochs": 182,
    "augment.preset": "shift+flip",
    "loss.label_smoothing": 0.0,
}
# What small trainings have in common.
SHORT = {"train.batch": 64, "augment.preset": "none", "loss.label_smoothing": 0.0, "schedule.name": "cosine"}
