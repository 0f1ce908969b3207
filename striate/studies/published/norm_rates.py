"""Batch normalisation permits higher learning rates; small batches spoil it, and group normalisation does not mind."""

from __future__ import annotations

from striate.studies.protocols import SHORT
from striate.studies.study import LOSS, TEST_ERROR, Arm, Claim, Published, Scale, Study

PLAIN = {**SHORT, "net.name": "plain20", "schedule.warmup_epochs": 0.0, "optimizer.name": "momentum"}


def _arm(label: str, norm: str, rate: float, batch: int) -> Arm:
    return Arm(label, {"net.options": {"swap_norm": norm}, "optimizer.lr": rate, "train.batch": batch})


STUDY = Study(
    "norm-rates",
    "Learning rate and batch size with and without batch normalisation",
    "Does batch normalisation permit a higher learning rate, and does it suffer from small batches?",
    "Ioffe, Szegedy 2015, arXiv:1502.03167, Figure 2; Wu, He 2018, arXiv:1803.08494, Figure 1",
    "S8, E9-E11, E15",
    (
        Published("BN-x30, thirty times the learning rate, ImageNet accuracy", "74.8 % (Inception without: 72.2 %)"),
        Published("ResNet-50, ImageNet, batches of 2: group normalisation's error less batch normalisation's", "-10.6"),
    ),
    (
        _arm("batch norm, rate 0.1", "batch", 0.1, 64),
        _arm("none, rate 0.1", "none", 0.1, 64),
        _arm("batch norm, batches of 2", "batch", 0.005, 2),
        _arm("group norm, batches of 2", "group", 0.005, 2),
    ),
    (
        Claim(
            "at a rate of 0.1 the error is larger without batch normalisation",
            TEST_ERROR,
            "none, rate 0.1",
            "batch norm, rate 0.1",
        ),
        Claim(
            "with batches of 2 the error is larger by batch than by group normalisation",
            TEST_ERROR,
            "batch norm, batches of 2",
            "group norm, batches of 2",
        ),
    ),
    {
        "quick": Scale(
            "digits",
            {**PLAIN, "train.epochs": 2},
            2,
            "plain20 in place of the papers' networks, digits in place of ImageNet, 2 epochs.",
            "2 minutes on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**PLAIN, "train.epochs": 8},
            3,
            "plain20 in place of the papers' networks, 5,000 images of CIFAR-10 in place of ImageNet, 8 epochs.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**PLAIN, "train.epochs": 60},
            5,
            "plain20, all of CIFAR-10 in place of ImageNet, 60 epochs.",
            "20 hours on a GPU",
        ),
    },
    (TEST_ERROR, LOSS),
)
