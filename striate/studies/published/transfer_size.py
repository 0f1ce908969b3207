"""More data: how the error of a classifier on pretrained features falls with the number of images."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

SHARES = {"a twentieth of the images": 0.05, "a fifth of the images": 0.2, "all images": 1.0}
LEAST, SOME, ALL = SHARES


def compute(arm: Arm, context: Context) -> Result:
    """The test error of a linear classifier that is fitted to a share of the images."""
    from striate.studies.heads import features, scored

    return scored(features(context.opened(context.data)), context.seed, share=SHARES[arm.label])


def _scale(data: str, what: str, seeds: int, time: str, images: tuple[int, int] | None = None) -> Scale:
    deviation = (
        f"A linear classifier on the features of EfficientNet-Lite0 in place of CaffeNet trained on parts of ImageNet; "
        f"{what}. Each seed draws another fifth of the images for testing, and other parts of the rest."
    )
    return Scale(data, {}, seeds, deviation, time, images=images)


STUDY = Study(
    "transfer-size",
    "More data",
    "How much is gained by more images?",
    "Mishkin, Sergievskiy, Matas 2017, caffenet-benchmark, table of data set sizes",
    "N9, P14, F11",
    (
        Published("CaffeNet, 1.2 million images of ImageNet, accuracy", "47.1 %", arm=ALL),
        Published("400 thousand images", "39.3 %", arm=SOME),
        Published("200 thousand images", "30.5 %", arm=LEAST),
    ),
    tuple(map(Arm, SHARES)),
    (
        Claim("with a twentieth the error is larger than with a fifth", TEST_ERROR, LEAST, SOME),
        Claim("with a fifth the error is larger than with all", TEST_ERROR, SOME, ALL),
    ),
    {
        "quick": _scale("digits", "300 digits of 8 x 8 pixels", 5, "1 minute on two cores", (300, 300)),
        "cpu": _scale("digits", "1,797 digits of 8 x 8 pixels", 10, "10 minutes on two cores"),
        "paper": _scale("imagenette", "13,000 photographs of ten classes of ImageNet", 10, "an hour on two cores"),
    },
    (TEST_ERROR,),
    compute,
)
