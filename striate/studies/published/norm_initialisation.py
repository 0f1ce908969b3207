"""Batch normalisation lowers the dependence on the initialisation."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, ScaleName, Study

SCALES = {"a third of the weights": 1 / 3, "weights as they are": 1.0, "three times the weights": 3.0}
NORMS = {"batch norm": "batch", "none": "none"}
SMALL, USUAL, LARGE = SCALES
LR, BATCH = 0.02, 64
SIDES: dict[ScaleName, int] = {"quick": 8, "cpu": 32, "paper": 32}
STEPS: dict[ScaleName, int] = {"quick": 30, "cpu": 400, "paper": 20_000}


def compute(arm: Arm, context: Context) -> Result:
    """The test error after some steps from weights that are all multiplied by the arm's factor.

    A training that ends in a loss that is not finite has the error of chance.
    """
    import math

    from striate.inspect.smoothness import trial
    from striate.studies.tensors import plain20, tensors

    data = tensors(context.opened(context.data), SIDES[context.scale], context.seed)
    found = trial(
        lambda: plain20(data, arm.settings["norm"]),
        data.train,
        data.held_out,
        lr=LR,
        batch_size=BATCH,
        steps=STEPS[context.scale],
        scale=arm.settings["scale"],
        seed=context.seed,
    )
    accuracy = found.accuracy if math.isfinite(found.loss) else 1 / data.classes
    return Result({TEST_ERROR: 100 * (1 - accuracy)})


def _label(norm: str, scale: str) -> str:
    return f"{norm}, {scale}"


def _scale(data: str, scale: ScaleName, seeds: int, said: str, time: str, images: tuple[int, int]) -> Scale:
    return Scale(
        data,
        {},
        seeds,
        f"plain20, He's initialisation times a third, one and three, {STEPS[scale]:,} steps with momentum at a rate of "
        f"{LR}, batches of {BATCH}. {said}, both of the training part and drawn by the seed. A training whose loss "
        "becomes infinite has the error of chance.",
        time,
        images=images,
    )


STUDY = Study(
    "norm-initialisation",
    "Initialisation with and without batch normalisation",
    "Does batch normalisation make a network less dependent on the scale of its first weights?",
    "Ioffe, Szegedy 2015, arXiv:1502.03167, section 3.3; He, Zhang, Ren, Sun 2015, arXiv:1502.01852, section 2.2",
    "S8, E11",
    (
        Published(
            "BN((aW)u) = BN(Wu)",
            "the layer's scale has no effect (by algebra)",
            "less dependence on the initialisation",
            arm=_label("batch norm", LARGE),
        ),
    ),
    tuple(
        Arm(_label(norm, scale), {"norm": NORMS[norm], "scale": SCALES[scale]}) for norm in NORMS for scale in SCALES
    ),
    tuple(
        Claim(
            f"{scale}: without batch normalisation the error is larger",
            TEST_ERROR,
            _label("none", scale),
            _label("batch norm", scale),
        )
        for scale in (SMALL, LARGE)
    ),
    {
        "quick": _scale(
            "digits", "quick", 3, "Trained on 364 digits and compared on 115", "1 minute on two cores", (700, 700)
        ),
        "cpu": _scale(
            "cifar10",
            "cpu",
            3,
            "Trained on about 3,750 images and compared on 1,250",
            "25 minutes on two cores",
            (5000, 2000),
        ),
        "paper": _scale(
            "cifar10",
            "paper",
            5,
            "Trained on about 37,500 images and compared on 12,500",
            "2 days on two cores",
            (50_000, 10_000),
        ),
    },
    (TEST_ERROR,),
    compute,
)
