"""Recipes that several studies share."""

from __future__ import annotations

from collections.abc import Mapping

from striate.studies.study import Scale, ScaleName

# ResNet's on CIFAR-10: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2. Its 64,000 iterations, with drops at
# 32,000 and 48,000, are 182 epochs of the 45,000 images that the paper trains on, and 164 of all 50,000.
PAPER = {
    "optimizer.name": "momentum",
    "optimizer.lr": 0.1,
    "optimizer.weight_decay": 1e-4,
    "schedule.name": "step",
    "schedule.milestones": [82, 123],
    "schedule.warmup_epochs": 0.0,
    "train.batch": 128,
    "train.epochs": 164,
    "augment.preset": "shift+flip",
    "loss.label_smoothing": 0.0,
}
# What small trainings have in common.
SHORT = {"train.batch": 64, "augment.preset": "none", "loss.label_smoothing": 0.0, "schedule.name": "cosine"}


def small_nets(networks: str, on_imagenet: str) -> Mapping[ScaleName, Scale]:
    """The scales of a comparison of small networks that are trained on few images. Both begin a sentence: what is
    compared on digits and CIFAR-10, with its comma or semicolon, and in place of the papers'."""
    return {
        "quick": Scale(
            "mnist-5k",
            {**SHORT, "train.epochs": 3},
            2,
            f"{networks} 500 digits, 3 epochs.",
            "2 minutes on two cores",
            images=(500, 500),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 8},
            3,
            f"{networks} 5,000 training and 2,000 test images of CIFAR-10, 8 epochs.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10", PAPER, 5, f"{on_imagenet} on CIFAR-10 in place of the papers' on ImageNet.", "8 hours on a GPU"
        ),
    }
