"""Removing one block of a trained network: a residual one hardly suffers, a plain one is destroyed."""

from __future__ import annotations

import statistics

from striate.studies.study import Arm, Claim, Context, Published, Result, Scale, Study

RESIDUAL, PLAIN = "residual, 56 layers", "plain, 56 layers"
FILES = {
    RESIDUAL: ("resnet56-4bfd9763.th", "resnet56", "akamaster"),
    PLAIN: ("resnet56_plain_landscape.pt", "plain56", "landscape"),
}
LOST, INTACT = "accuracy lost by one block, median of blocks, points", "accuracy, %"
SEEDS = 5
AT_ONCE = {"quick": 50, "cpu": 400, "paper": 2000}  # test images of a seed at most; each seed has other ones


def compute(arm: Arm, context: Context) -> Result:
    """The median of what removing one block costs, on the test images of a seed."""
    import torch

    from striate.inference.backbones import net_of, normalised
    from striate.inspect.lesions import lesions
    from striate.studies.held_out import of_seed

    model = context.published(*FILES[arm.label])
    images = of_seed(context, model, SEEDS, AT_ONCE[context.scale])
    pixels, targets = normalised(images.crops(model.pixels), model), torch.from_numpy(images.targets)
    found = lesions(net_of(model), pixels, targets)
    lost = 100 * statistics.median(found.intact - share for share in found.without.values())
    return Result({LOST: lost, INTACT: 100 * found.intact})


def _scale(time: str, seeds: int, images: str) -> Scale:
    return Scale(
        "cifar10", {}, seeds, f"Blocks of ResNet-56 and plain-56 in place of VGG and ResNet-110, {images}.", time
    )


STUDY = Study(
    "lesions",
    "Removing one block of a trained network",
    "What is lost when one block of a trained network is removed?",
    "Veit, Wilber, Belongie 2016, arXiv:1605.06431, Figures 3 and 5",
    "K13",
    (
        Published("VGG, one layer removed, error on CIFAR-10", "to chance, about 90 % (figure only)", arm=PLAIN),
        Published(
            "ResNet-110, one block removed",
            "hardly any change, but at the stages' first blocks (figure only)",
            arm=RESIDUAL,
        ),
    ),
    (Arm(RESIDUAL), Arm(PLAIN)),
    (Claim("a plain network loses more by one block", LOST, PLAIN, RESIDUAL, gain=10.0),),
    {
        "quick": _scale("1 minute on two cores", 3, "50 test images a seed"),
        "cpu": _scale("5 minutes on two cores", SEEDS, "at most 400 test images a seed"),
        "paper": _scale("20 minutes on two cores", SEEDS, "all test images"),
    },
    (LOST, INTACT),
    compute,
    "resnet56-4bfd9763.th (akamaster/pytorch_resnet_cifar10) and resnet56_plain_landscape.pt "
    "(tomgoldstein/loss-landscape)",
)
