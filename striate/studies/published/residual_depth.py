"""Residual networks on CIFAR-10 by depth, by weights that others trained: the deeper, the better."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

FILES = {20: "resnet20-12fca82f.th", 32: "resnet32-d509ac18.th", 44: "resnet44-014dd654.th", 56: "resnet56-4bfd9763.th"}
LABELS = {layers: f"{layers} layers" for layers in FILES}
SEEDS, AT_ONCE = 5, {"quick": 60, "cpu": 400, "paper": 2000}  # test images of a seed at most; each seed has other ones


def compute(arm: Arm, context: Context) -> Result:
    """The error of a network on the test images of a seed."""
    from striate.inference.predictor import Predictor
    from striate.studies.held_out import of_seed

    layers = next(one for one, label in LABELS.items() if label == arm.label)
    model = context.published(FILES[layers], f"resnet{layers}", "akamaster")
    images = of_seed(context, model, SEEDS, AT_ONCE[context.scale])
    wrong = images.wrong(Predictor(model, engine="torch", precision="float32").predictions(images.crops(model.pixels)))
    return Result({TEST_ERROR: 100 * sum(wrong.values()) / len(wrong)}, wrong)


def _scale(time: str, images: str) -> Scale:
    return Scale(
        "cifar10",
        {},
        SEEDS,
        f"Weights that others trained by the paper's recipe, one network of each depth; {images}. The intervals are "
        "over images alone: they say nothing of other trainings.",
        time,
    )


STUDY = Study(
    "residual-depth",
    "Residual networks by depth",
    "Does a deeper residual network have a smaller test error?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, Tables 4 and 6",
    "K9",
    (
        Published("ResNet-20, -32, -44 and -56 on CIFAR-10, test error", "8.75, 7.51, 7.17 and 6.97 %"),
        Published("the same of these weights, as their author has it", "8.27, 7.37, 6.90 and 6.61 %"),
        Published("ResNet-50, -101 and -152 on ImageNet, top-5 error", "5.25, 4.60 and 4.49 %"),
    ),
    tuple(map(Arm, LABELS.values())),
    tuple(
        Claim(f"20 layers have the larger error than {layers}", TEST_ERROR, LABELS[20], LABELS[layers])
        for layers in (32, 44, 56)
    ),
    {
        "quick": _scale("1 minute on two cores", "60 test images a seed"),
        "cpu": _scale("3 minutes on two cores", "at most 400 test images a seed"),
        "paper": _scale("15 minutes on two cores", "all test images"),
    },
    (TEST_ERROR,),
    compute,
    ", ".join(FILES.values()) + " (akamaster/pytorch_resnet_cifar10)",
)
