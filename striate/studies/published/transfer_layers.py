"""General and specific features: lower stages serve data unlike ImageNet, upper ones photographs."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

STAGES = {"stage 3 of 9": "stage3", "stage 6 of 9": "stage6", "last features": ""}
PHOTOGRAPHS, DIGITS = "photographs", "digits"
ARMS = tuple(f"{data}, {stage}" for data in (PHOTOGRAPHS, DIGITS) for stage in STAGES)
LOW, MIDDLE, LAST = STAGES


def compute(arm: Arm, context: Context) -> Result:
    """The test error of a linear classifier on the features of a stage."""
    from striate.studies.heads import features, scored

    data, stage = arm.label.split(", ")
    source = context.opened(context.data if data == PHOTOGRAPHS else "digits")
    return scored(features(source, STAGES[stage]), context.seed)


def _scale(data: str, what: str, seeds: int, time: str, images: tuple[int, int] | None = None) -> Scale:
    deviation = (
        f"A linear classifier on the mean of a stage of EfficientNet-Lite0, in place of layers that are copied and "
        f"trained on; {what}. Each seed draws another fifth of the images for testing."
    )
    return Scale(data, {}, seeds, deviation, time, images=images)


STUDY = Study(
    "transfer-layers",
    "General and specific features",
    "Do upper stages serve photographs better, and lower ones data that are unlike those of the pretraining?",
    "Yosinski, Clune, Bengio, Lipson 2014, arXiv:1411.1792, Figure 2",
    "N7, N8",
    (
        Published(
            "from general to specific",
            "the farther up a layer, the less it serves another task (figure only)",
            "edges and blobs are general; faces and text specific", arm=f"{DIGITS}, {LAST}"),
        Published(
            "little data, different from the pretraining",
            "not in the paper",
            "a problem: the last features do not serve", arm=f"{DIGITS}, {LAST}"),
    ),
    tuple(map(Arm, ARMS)),
    (
        Claim(
            "photographs: the error is larger with stage 3 than with the last features",
            TEST_ERROR,
            f"{PHOTOGRAPHS}, {LOW}",
            f"{PHOTOGRAPHS}, {LAST}",
        ),
        Claim(
            "digits: the error is larger with the last features than with stage 6",
            TEST_ERROR,
            f"{DIGITS}, {LAST}",
            f"{DIGITS}, {MIDDLE}",
        ),
    ),
    {
        "quick": _scale("faces", "200 small photographs and 200 digits", 5, "1 minute on two cores", (200, 200)),
        "cpu": _scale("hymenoptera", "400 photographs of ants and bees, 900 digits", 10, "15 minutes on two cores",
                      (900, 900)),
        "paper": _scale("imagenette", "13,000 photographs and 1,797 digits", 10, "an hour on a GPU"),
    },
    (TEST_ERROR,),
    compute,
)  # fmt: skip
