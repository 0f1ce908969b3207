"""The gradient of a residual network comes back through its short paths, which are few."""

from __future__ import annotations

from striate.studies.study import Arm, Claim, Context, Curve, Published, Result, Scale, ScaleName, Study

FILE = ("resnet56-4bfd9763.th", "resnet56", "akamaster")
BLOCKS = 27
# By the blocks that they pass through.
PATHS: dict[str, tuple[int, ...]] = {
    "3 blocks": (3,),
    "9 blocks": (9,),
    "13 blocks": (13,),
    "0 to 13 blocks": tuple(range(14)),
    "14 to 27 blocks": tuple(range(14, BLOCKS + 1)),
}
FEW, SOME, MEAN, SHORT, LONG = PATHS
NORM, TOTAL, SHARE = "gradient of a path", "gradient times the share of the paths, summed", "paths, %"
SEEDS = 5
AT_ONCE: dict[ScaleName, int] = {"quick": 8, "cpu": 60, "paper": 400}  # of a seed; each seed has other ones
DRAWS: dict[ScaleName, int] = {"quick": 2, "cpu": 6, "paper": 50}  # paths of each length


def compute(arm: Arm, context: Context) -> Result:
    """The norm of the gradient in the image that comes back through paths of the arm's lengths, drawn by the seed."""
    import statistics

    import torch

    from striate.inference.backbones import net_of, normalised
    from striate.inspect.paths import gradient_by_path_length
    from striate.studies.held_out import of_seed

    model = context.published(*FILE)
    images = of_seed(context, model, SEEDS, AT_ONCE[context.scale])
    found = gradient_by_path_length(
        net_of(model),
        normalised(images.crops(model.pixels), model),
        torch.from_numpy(images.targets),
        PATHS[arm.label],
        draws=DRAWS[context.scale],
        seed=context.seed,
    )
    curve = tuple({"blocks": float(one.length), "norm": one.norm, "total": one.norm * one.share} for one in found)
    numbers = {
        TOTAL: sum(row["total"] for row in curve),
        NORM: statistics.median(one.norm for one in found),
        SHARE: 100 * sum(one.share for one in found),
    }
    return Result(numbers, curve=curve)


def _scale(scale: ScaleName, seeds: int, time: str) -> Scale:
    return Scale(
        "cifar10",
        {},
        seeds,
        f"ResNet-56 with {BLOCKS} blocks in place of ResNet-110 with 54; {AT_ONCE[scale]} test images a seed, and "
        f"{DRAWS[scale]} random paths of each length, the median of lengths where an arm has several.",
        time,
    )


STUDY = Study(
    "path-lengths",
    "The gradient by the length of a path",
    "Does the gradient of a residual network come back through its short paths?",
    "Veit, Wilber, Belongie 2016, arXiv:1605.06431, section 5 and Figure 6",
    "K14",
    (
        Published(
            "ResNet-110: paths that the gradient comes through",
            "lengths 5 to 17 of 54 blocks, 0.45 % of the paths",
            "ResNet-50: 5 to 17 layers, 45 % of the lengths of paths",
            arm=SHORT,
        ),
        Published("gradient by length", "falls exponentially (figure only)", arm=FEW, measure=NORM),
    ),
    tuple(map(Arm, PATHS)),
    (
        Claim("a path through 3 blocks has a larger gradient than one through 9", NORM, FEW, SOME),
        Claim("a path through 9 blocks has a larger gradient than one through 13", NORM, SOME, MEAN),
        Claim("the shorter half of the paths has the larger gradient in sum", TOTAL, SHORT, LONG),
    ),
    {
        "quick": _scale("quick", 3, "1 minute on two cores"),
        "cpu": _scale("cpu", SEEDS, "15 minutes on two cores"),
        "paper": _scale("paper", SEEDS, "5 hours on two cores"),
    },
    (TOTAL, NORM, SHARE),
    compute,
    "resnet56-4bfd9763.th (akamaster/pytorch_resnet_cifar10)",
    (
        Curve("norm", "Gradient of a path by its blocks", over="blocks"),
        Curve("total", "The same, times the share of such paths", over="blocks"),
    ),
)
