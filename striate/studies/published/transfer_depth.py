"""How many stages to train: the head alone, the upper stages, or all, on little data like and unlike ImageNet."""

from __future__ import annotations

from striate.studies.study import OF_TRAINING, TEST_ERROR, Arm, Claim, Curve, Published, Scale, Study

PHOTOGRAPHS, DIGITS = "photographs", "digits"
HEAD, UPPER, ALL = "the head alone", "two upper stages", "all stages"
NET = {"net.name": "efficientnet_lite0"}
HOW: dict[str, dict[str, object]] = {
    HEAD: {**NET, "strategy": "features"},
    UPPER: {**NET, "strategy": "finetune", "finetune.unfreeze": 2},
    ALL: {**NET, "strategy": "finetune", "finetune.unfreeze": 9},
}
GUARD = "A fine-tuning that does not help on training images set aside is given up for the head alone."
ARMS = tuple(Arm(f"{data}, {how}", settings) for data in (PHOTOGRAPHS, DIGITS) for how, settings in HOW.items())


def _changes(photographs: str, epochs: int, batch: int) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for arm in ARMS:
        data, how = arm.label.split(", ")
        trained = {} if how == HEAD else {"train.epochs": epochs, "train.batch": batch}
        found[arm.label] = {"data.path": photographs if data == PHOTOGRAPHS else "digits", **trained}
    return found


STUDY = Study(
    "transfer-depth",
    "How many stages of a pretrained network to train",
    "With little data, is the head alone enough for photographs, and do other images need all stages?",
    "Yosinski, Clune, Bengio, Lipson 2014, arXiv:1411.1792, Figure 2",
    "N3, N4, N8, P9",
    (
        Published(
            "copied layers: frozen, and trained on",
            "trained on, they are as good as or better than a new start (figure only)",
            "little and similar data: the last layer; different data: more layers or all",
            arm=f"{PHOTOGRAPHS}, {ALL}",
        ),
    ),
    ARMS,
    (
        Claim(
            "photographs: with all stages the error is larger than with the head alone",
            TEST_ERROR,
            f"{PHOTOGRAPHS}, {ALL}",
            f"{PHOTOGRAPHS}, {HEAD}",
        ),
        Claim(
            "digits: with the head alone the error is larger than with all stages",
            TEST_ERROR,
            f"{DIGITS}, {HEAD}",
            f"{DIGITS}, {ALL}",
        ),
    ),
    {
        "quick": Scale(
            "",
            {},
            2,
            "EfficientNet-Lite0 on 50 small photographs of faces and others and 50 digits, a fifth of them for "
            f"testing; 2 epochs. {GUARD}",
            "3 minutes on two cores",
            changes=_changes("faces", 2, 20),
            images=(50, 50),
        ),
        "cpu": Scale(
            "",
            {},
            3,
            "EfficientNet-Lite0 on 276 photographs of ants and bees, 123 of them for training, and 200 digits, a "
            f"fifth of them for testing; 6 epochs. {GUARD}",
            "50 minutes on two cores",
            changes=_changes("hymenoptera", 6, 32),
            images=(200, 200),
        ),
        "paper": Scale(
            "",
            {},
            5,
            f"EfficientNet-Lite0 on 13,000 photographs of ten classes and 1,797 digits; 30 epochs. {GUARD}",
            "10 hours on a GPU",
            changes=_changes("imagenette", 30, 64),
        ),
    },
    curves=(
        Curve("held_out_loss", "Loss on training images set aside, by epoch: fine-tuning is given up unless it falls"),
        *OF_TRAINING,
    ),
)
