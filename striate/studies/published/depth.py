"""Residual networks by depth: the published errors, and those of published weights on test images."""

from __future__ import annotations

from striate.studies.cifar_weights import AKAMASTER, FILES, SLICES, loaded
from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

LABELS = {depth: f"ResNet-{depth}" for depth in AKAMASTER}
AT_ONCE = {"quick": 50, "cpu": 400, "paper": 2000}  # test images of a seed at most


def compute(arm: Arm, context: Context) -> Result:
    """The error of a network of published weights on the test images of a seed."""
    import torch

    depth = arm.settings["depth"]
    net, images, targets = loaded(context, AKAMASTER[depth], f"resnet{depth}", "akamaster", most=AT_ONCE[context.scale])
    with torch.no_grad():
        wrong = [net(x).argmax(1) != y for x, y in zip(images.split(100), targets.split(100), strict=True)]
    return Result({TEST_ERROR: 100 * float(torch.cat(wrong).float().mean())})


def _scale(images: str, seeds: int, time: str) -> Scale:
    return Scale(
        "cifar10", {}, seeds, f"Weights of others, trained by the paper's protocol; each seed has {images}.", time
    )


STUDY = Study(
    "depth",
    "Residual networks by depth",
    "Does the error of a residual network fall with its depth?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Table 6; akamaster/pytorch_resnet_cifar10 (weights)",
    "K9",
    (
        Published("ResNet-20 on CIFAR-10: parameters, test error; error of the weights", "0.27 M, 8.75 %; 8.27 %"),
        Published("ResNet-32", "0.46 M, 7.51 %; 7.37 %"),
        Published("ResNet-44", "0.66 M, 7.17 %; 6.90 %"),
        Published("ResNet-56", "0.85 M, 6.97 %; 6.61 %"),
        Published("ResNet-110", "1.7 M, 6.43 % (6.61 +- 0.16)"),
        Published("ResNet-1202", "19.4 M, 7.93 %"),
    ),
    tuple(Arm(label, {"depth": depth}) for depth, label in LABELS.items()),
    tuple(
        Claim(f"20 layers have the larger test error than {depth}", TEST_ERROR, LABELS[20], LABELS[depth])
        for depth in (32, 44, 56)
    ),
    {
        "quick": _scale("50 test images of its own", 3, "1 minute on two cores"),
        "cpu": _scale("at most 400 test images of its own", SLICES, "5 minutes on two cores"),
        "paper": _scale("2,000 test images of its own", SLICES, "5 minutes on a GPU"),
    },
    (TEST_ERROR,),
    compute,
    FILES,
)
