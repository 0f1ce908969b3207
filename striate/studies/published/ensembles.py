"""Ensembles: the mean of networks against each of them, and different networks against one trained anew."""

from __future__ import annotations

from striate.studies.protocols import SHORT
from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

SINGLE, ONE, DIFFERENT = "single networks", "one network, three trainings", "three different networks"
NETS = {
    "quick": ("lenet5_plain", "fractalnet5_narrow", "highway_fc10"),
    "cpu": ("resnet20", "fractalnet10_narrow", "recurrent_resnet20"),
    "paper": ("resnet110", "densenet40_k12", "wrn_16_8"),
}
ANEW = 1000  # between the seeds of trainings of one network


def compute(arm: Arm, context: Context) -> Result:
    """The test error of an ensemble, or the mean one of the three different networks.

    All members of a seed are trained on the same images, and scored on the same others.
    """
    import numpy as np

    from striate.inference.averaging import average
    from striate.inference.predictor import Predictor
    from striate.learning.run_folder import MODEL
    from striate.model import read
    from striate.studies.held_out import held_out

    first, second, third = NETS[context.scale]
    folder = context.trained({"net.name": first})
    others = [{"net.name": first, "seed": context.seed + ANEW}, {"net.name": first, "seed": context.seed + 2 * ANEW}]
    if arm.label != ONE:
        others = [{"net.name": second}, {"net.name": third}]
    folders = [folder, *(context.trained({**keys, "data.split": str(folder / "split.csv")}) for keys in others)]
    images = held_out(context.opened(context.data), folder)
    members = [Predictor(read(one / MODEL), engine="torch", precision="float32") for one in folders]
    rows = [one.predictions(images.crops(one.model.pixels)) for one in members]
    tables = rows if arm.label == SINGLE else [average(rows, [1 / len(rows)] * len(rows))]
    wrong = [images.wrong(table) for table in tables]
    by_image = {key: float(np.mean([one[key] for one in wrong])) for key in wrong[0]}
    return Result({TEST_ERROR: 100 * float(np.mean(list(by_image.values())))}, by_image)


STUDY = Study(
    "ensembles",
    "Ensembles of different networks",
    "Is the mean of several networks better than each, and are different networks better than one trained anew?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Tables 4 and 5; the ImageNet challenge of 2016",
    "A10, K21",
    (
        Published("ResNet-152, ImageNet, top-5 error of the single network", "4.49 %", arm=SINGLE),
        Published(
            "ensemble of six, top-5 error on the test images", "3.57 %", "3.6 %, without saying ensemble", arm=ONE
        ),
        Published(
            "ImageNet 2016: an ensemble of Inception, ResNet and Inception-ResNet",
            "no table of it here",
            "half a percent better than the year before",
            arm=DIFFERENT,
        ),
    ),
    (Arm(SINGLE), Arm(ONE), Arm(DIFFERENT)),
    (
        Claim("single networks have the larger error than their ensemble", TEST_ERROR, SINGLE, DIFFERENT),
        Claim(
            "one network trained three times has the larger error than three different ones", TEST_ERROR, ONE, DIFFERENT
        ),
    ),
    {
        "quick": Scale(
            "digits",
            {**SHORT, "train.epochs": 8},
            3,
            "LeNet-5, a fractal and a highway network on digits of 8 x 8 pixels, 8 epochs, in place of ImageNet's.",
            "1 minute on two cores",
            images=(700, 700),
        ),
        "cpu": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 12, "augment.preset": "shift+flip"},
            3,
            "ResNet-20, a fractal and a recurrent residual network on 5,000 images of CIFAR-10, 12 epochs.",
            "50 minutes on two cores",
            images=(5000, 2000),
        ),
        "paper": Scale(
            "cifar10",
            {**SHORT, "train.epochs": 180, "augment.preset": "shift+flip", "optimizer.weight_decay": 1e-4},
            5,
            "ResNet-110, DenseNet-40 and WRN-16-8 on CIFAR-10, 180 epochs, in place of ImageNet's networks.",
            "8 days on a GPU",
        ),
    },
    (TEST_ERROR,),
    compute,
)
