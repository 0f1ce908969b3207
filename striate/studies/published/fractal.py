"""FractalNet against a residual network, and what drop-path does in it."""

from __future__ import annotations

from striate.studies.protocols import PAPER, SHORT
from striate.studies.study import PARAMETERS, TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

RESNET, PLAIN, LOCAL, GLOBAL, BOTH = (
    "ResNet",
    "FractalNet",
    "FractalNet, local drop-path",
    "FractalNet, global drop-path",
    "FractalNet, both, dropout",
)


def _drop(local: float, share: float, dropout: bool) -> dict[str, object]:
    return {"drop_path": local, "global_share": share, "dropout": dropout}


FORMS = {
    PLAIN: _drop(0.0, 0.0, False),
    LOCAL: _drop(0.15, 0.0, False),
    GLOBAL: _drop(0.0, 1.0, False),
    BOTH: _drop(0.15, 0.5, True),
}


def _arms(width: float) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {RESNET: {"net.name": "resnet20"}}
    for label, form in FORMS.items():
        found[label] = {"net.name": "fractalnet20", "net.options": {"columns": 3, "width": width, **form}}
    return found


STUDY = Study(
    "fractal",
    "FractalNet and drop-path",
    "Is a network without shortcuts, of joined paths, as good as a residual one, and does drop-path lower its error?",
    "Larsson, Maire, Shakhnarovich 2017, arXiv:1605.07648, Table 1",
    "K16",
    (
        Published("FractalNet-20, CIFAR-10, test error without and with augmentation", "10.18 % and 5.22 %"),
        Published("with drop-path and dropout", "7.33 % and 4.60 %"),
        Published("its deepest column alone", "7.27 % and 4.68 %"),
        Published("ResNet-110, constant depth, without and with augmentation (arXiv:1603.09382)", "13.63 % and 6.41 %"),
    ),
    tuple(map(Arm, (RESNET, PLAIN, LOCAL, GLOBAL, BOTH))),
    (
        Claim("the residual network has the larger test error", TEST_ERROR, RESNET, BOTH),
        Claim("without drop-path and dropout the test error is larger", TEST_ERROR, PLAIN, BOTH),
        Claim("without drop-path and dropout the training error is smaller", TRAINING_ERROR, BOTH, PLAIN),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 4},
            2,
            "Widths at which FractalNet-20 has as many parameters as ResNet-20, digits in place of CIFAR-10, 4 epochs.",
            "3 minutes on two cores",
            images=(500, 500),
            changes=_arms(0.09),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 15},
            3,
            "Widths at which FractalNet-20 has as many parameters as ResNet-20, 5,000 training and 2,000 test images, "
            "15 epochs in place of 400, no augmentation.",
            "50 minutes on two cores",
            images=(5000, 2000),
            changes=_arms(0.09),
        ),
        "paper": Scale(
            "cifar10",
            {
                **PAPER,
                "augment.preset": "none",
                "optimizer.lr": 0.02,
                "optimizer.weight_decay": 0.0,
                "train.batch": 100,
                "train.epochs": 400,
                "schedule.milestones": [200, 300, 350, 375],
            },
            3,
            "On one device; ResNet-110 is trained by FractalNet's recipe, too.",
            "4 days on a GPU",
            changes=_arms(1.0) | {RESNET: {"net.name": "resnet110"}},
        ),
    },
    (TEST_ERROR, TRAINING_ERROR, PARAMETERS),
)
