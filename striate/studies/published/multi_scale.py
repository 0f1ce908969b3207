"""Images of several scales in training."""

from __future__ import annotations

from striate.studies.published import augmentation
from striate.studies.study import TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

ONE, SEVERAL = "shift and flip", "several scales, flip"
# Of the benchmark's crops of 128 pixels: sides of 144 (half of the time), 188, 256 (a fifth each) and 130 (a tenth).
SIDES = [[round(32 * side / 128), often] for side, often in ((144, 0.5), (188, 0.2), (256, 0.2), (130, 0.1))]
TESTED = (
    "Both are tested on the whole image, the benchmark on a crop of 128 from 144: here nine tenths of the images in "
    "training are larger than in testing."
)
CHANGES = {SEVERAL: {"augment.preset": "none", "augment.shorter_side": SIDES, "augment.flip": 0.5}}


def _scale(name: str, deviation: str, time: str) -> Scale:
    """That of `augmentation`, so that the two share trainings."""
    base = augmentation.STUDY.at(name)
    return Scale(base.data, base.recipe, base.seeds, f"{deviation} {TESTED}", time, CHANGES, base.images)


STUDY = Study(
    "multi-scale",
    "Images of several scales",
    "Does training on images of several scales lower the test error?",
    "Mishkin, Sergievskiy, Matas 2017, caffenet-benchmark, table of augmentation",
    "K1, H11",
    (
        Published("default (crop and flip), accuracy", "47.1 %", arm=ONE),
        Published("several scales: crops of 128 from sides of 130 to 256", "46.2 %", arm=SEVERAL),
    ),
    (Arm(ONE, {"augment.preset": "shift+flip"}), Arm(SEVERAL)),
    (Claim("with several scales the test error is larger", TEST_ERROR, SEVERAL, ONE),),
    {
        "quick": _scale("quick", "ResNet-20 and digits in place of CaffeNet and ImageNet, 4 epochs.",
                        "1 minute on two cores"),
        "cpu": _scale("cpu", "ResNet-20 and 5,000 images of CIFAR-10 in place of CaffeNet and ImageNet, 20 epochs.",
                      "25 minutes on two cores"),
        "paper": _scale("paper", "ResNet-20 and CIFAR-10 in place of CaffeNet and ImageNet.", "4 hours on a GPU"),
    },
    (TEST_ERROR, TRAINING_ERROR),
)  # fmt: skip
