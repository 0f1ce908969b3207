"""Squeeze-and-excitation in wide and in Shake-Shake residual networks."""

from __future__ import annotations

from striate.studies.protocols import SHORT
from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

WIDE, SE_WIDE, SHAKE, SE_SHAKE = "wide ResNet", "SE-wide ResNet", "Shake-Shake", "SE-Shake-Shake"
NETS = {WIDE: "wrn_16_8", SE_WIDE: "se_wrn_16_8", SHAKE: "shake_shake_26_2x96d", SE_SHAKE: "se_shake_26_2x96d"}
EVEN = {
    SHAKE: {"net.name": "shake_even_29_2x4x64d", "augment.cutout": 16},
    SE_SHAKE: {"net.name": "se_shake_even_29_2x4x64d", "augment.cutout": 16},
}


def _small(wide: dict[str, int], shake: dict[str, int]) -> dict[str, dict[str, object]]:
    return {label: {"net.options": wide if label in (WIDE, SE_WIDE) else shake} for label in NETS}


STUDY = Study(
    "squeeze-families",
    "Squeeze-and-excitation in wide and Shake-Shake networks",
    "Does squeeze-and-excitation lower the error of wide and of Shake-Shake networks, too?",
    "Hu, Shen, Albanie, Sun, Wu 2017, arXiv:1709.01507, Tables 4 and 5",
    "K4, K5",
    (
        Published("WRN-16-8, CIFAR-10 and CIFAR-100, test error", "4.27 % and 20.43 %", arm=WIDE),
        Published("SE-WRN-16-8", "3.88 % and 19.14 %", arm=SE_WIDE),
        Published("Shake-Shake 26 2x96d and Cutout, CIFAR-10", "2.56 %"),
        Published("SE-Shake-Shake 26 2x96d and Cutout, CIFAR-10", "2.12 %"),
        Published("Shake-Even 29 2x4x64d and Cutout, CIFAR-100", "15.85 %", arm=SHAKE),
        Published("SE-Shake-Even 29 2x4x64d and Cutout, CIFAR-100", "15.41 %", arm=SE_SHAKE),
        Published("ResNet-110 and -164, CIFAR-100", "26.88 % and 24.33 %"),
        Published("SE-ResNet-110 and -164, CIFAR-100", "23.85 % and 21.31 %"),
    ),
    tuple(Arm(label, {"net.name": net}) for label, net in NETS.items()),
    (
        Claim("wide: without squeeze-and-excitation the test error is larger", TEST_ERROR, WIDE, SE_WIDE),
        Claim("Shake-Shake: without squeeze-and-excitation the test error is larger", TEST_ERROR, SHAKE, SE_SHAKE),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 4},
            3,
            "WRN-10-1 and Shake-Shake 8 2x8d, digits of 8 x 8 pixels in place of CIFAR, 4 epochs, without Cutout.",
            "1 minute on two cores",
            changes=_small({"depth": 10, "k": 1}, {"depth": 8, "d": 8}),
            images=(500, 500),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 15, "augment.preset": "shift+flip"},
            3,
            "WRN-16-1 and Shake-Shake 14 2x16d on 5,000 images of CIFAR-10, 15 epochs, without Cutout.",
            "50 minutes on two cores",
            changes=_small({"depth": 16, "k": 1}, {"depth": 14, "d": 16}),
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar100",
            {**SHORT, "augment.preset": "shift+flip", "train.epochs": 200, "train.batch": 128,
             "optimizer.name": "momentum", "optimizer.lr": 0.1, "optimizer.weight_decay": 1e-4},
            3,
            "CIFAR-100 alone, a cosine for all, Cutout for the Shake networks, on one device.",
            "20 days on a GPU",
            changes=EVEN,
        ),
    },
    (TEST_ERROR, TRAINING_ERROR),
)  # fmt: skip
