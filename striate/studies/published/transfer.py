"""When does transfer help: little or much data, similar to ImageNet or different from it."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Published, Scale, Study

PRETRAINED = {"strategy": "features", "net.name": "efficientnet_lite0"}
SCRATCH = {
    "strategy": "scratch",
    "net.name": "resnet20",
    "augment.preset": "shift+flip",
    "train.batch": 32,
}


def _arms(data: str, what: str) -> tuple[Arm, Arm]:
    return (
        Arm(f"{what}, pretrained", {**PRETRAINED, "data.path": data}),
        Arm(f"{what}, from scratch", {**SCRATCH, "data.path": data}),
    )


QUICK = (*_arms("faces", "photographs"), *_arms("digits", "digits"))

STUDY = Study(
    "transfer",
    "When does transfer help?",
    "Is a frozen pretrained network better than training from scratch, on photographs and on digits?",
    "Yosinski, Clune, Bengio, Lipson 2014, arXiv:1411.1792; Donahue et al. 2013, arXiv:1310.1531",
    "N1-N8, P8, P9",
    (
        Published("little data, similar", "not in the papers", "a linear classifier on the features"),
        Published("little data, different", "not in the papers", "a problem: features of a lower stage"),
        Published("much data, similar", "not in the papers", "fine-tune"),
        Published("much data, different", "not in the papers", "train, from pretrained weights"),
    ),
    QUICK,
    (
        Claim(
            "on photographs the error is larger from scratch",
            TEST_ERROR,
            "photographs, from scratch",
            "photographs, pretrained",
        ),
        Claim(
            "on digits the error is larger with frozen pretrained features",
            TEST_ERROR,
            "digits, pretrained",
            "digits, from scratch",
        ),
    ),
    {
        "quick": Scale(
            "",
            {},
            2,
            "200 small photographs of faces and others; 1,797 digits; ResNet-20 from scratch, 10 epochs.",
            "3 minutes on two cores",
            changes={arm.label: {"train.epochs": 10} for arm in QUICK if "scratch" in arm.label},
        ),
        "cpu": Scale(
            "",
            {},
            5,
            "Hymenoptera, 400 photographs, and 1,797 digits; ResNet-20 from scratch, 40 epochs.",
            "30 minutes on two cores",
            changes={
                "photographs, pretrained": {"data.path": "hymenoptera"},
                "photographs, from scratch": {"data.path": "hymenoptera", "train.epochs": 40},
                "digits, from scratch": {"train.epochs": 40},
            },
        ),
        "paper": Scale(
            "",
            {},
            5,
            "Imagenette, 13,000 photographs of ten classes, and 1,797 digits, in place of halves of ImageNet; "
            "ResNet-50 from scratch on the photographs and ResNet-20 on the digits, 90 epochs.",
            "15 hours on a GPU",
            changes={
                "photographs, pretrained": {"data.path": "imagenette"},
                "photographs, from scratch": {"data.path": "imagenette", "net.name": "resnet50", "train.epochs": 90},
                "digits, from scratch": {"train.epochs": 90},
            },
        ),
    },
)
