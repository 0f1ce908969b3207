"""Why batch normalisation helps: a smoother loss, or activations that drift less."""

from __future__ import annotations

from striate.studies.study import LOSS, Arm, Claim, Context, Curve, Published, Result, Scale, ScaleName, Study

NORMS = {"batch norm": "batch", "none": "none"}
BATCH_NORM, NONE = NORMS
RANGE, DRIFT = "range of the loss along the gradient", "drift of the last stage's mean in a step, deviations"
LR, BATCH, LAYER = 0.1, 64, "stage3"
LENGTHS = tuple(LR * factor for factor in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0))  # of steps along the gradient
STEPS: dict[ScaleName, int] = {"quick": 20, "cpu": 300, "paper": 15_000}
SIDES: dict[ScaleName, int] = {"quick": 8, "cpu": 32, "paper": 32}
PLACES = 10  # of the training at which the loss along the gradient is measured


def compute(arm: Arm, context: Context) -> Result:
    """Train plain20 by gradient descent on batches that the seed draws; the loss around it, and what a step moves."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from striate.inspect.smoothness import drift, loss_along_gradient
    from striate.studies.tensors import plain20, tensors

    data = tensors(context.opened(context.data), SIDES[context.scale], context.seed)
    images = data.batches(BATCH, context.seed)
    torch.manual_seed(context.seed)
    net = plain20(data, NORMS[arm.label]).train()
    optimizer = torch.optim.SGD(net.parameters(), LR)
    steps = STEPS[context.scale]
    rows = []
    for step in range(1, steps + 1):
        batch = next(images)
        loss = F.cross_entropy(net(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % (steps // PLACES) == 0:
            along = loss_along_gradient(net, batch, LENGTHS)
            few = [next(images) for _ in range(3)]
            moved = drift(net, LAYER, batch[0], few, lr=LR).moved
            rows.append(
                {"step": float(step), "loss": float(loss.detach()), "range": float(np.ptp(along)), "drift": moved}
            )
    means = {key: float(np.mean([row[key] for row in rows])) for key in ("range", "drift")}
    numbers = {RANGE: means["range"], DRIFT: means["drift"], LOSS: rows[-1]["loss"]}
    return Result(numbers, curve=tuple(rows))


def _scale(data: str, scale: ScaleName, seeds: int, said: str, time: str, images: tuple[int, int]) -> Scale:
    return Scale(
        data,
        {},
        seeds,
        f"plain20 in place of VGG, {STEPS[scale]:,} steps of gradient descent at a rate of {LR} on batches of {BATCH}. "
        f"At {PLACES} places of the training, the loss is taken at steps of half to four times the rate along the "
        f"gradient, as in Figure 4a, and the mean of each channel of {LAYER} before and after two further steps. "
        f"{said} Where a network does not learn, its loss is flat, too: see the training loss.",
        time,
        images=images,
    )


STUDY = Study(
    "norm-smoothness",
    "Why batch normalisation helps",
    "Is the loss smoother along its gradient with batch normalisation, and do activations drift less?",
    "Santurkar, Tsipras, Ilyas, Madry 2018, arXiv:1805.11604, Figures 2 and 4; Ioffe, Szegedy 2015, arXiv:1502.03167, "
    "Figure 1",
    "E8, E9",
    (
        Published("VGG, CIFAR-10: variation of the loss along the gradient", "smaller with it (figure only)",
                  arm=BATCH_NORM),
        Published(
            "drift of activations (internal covariate shift)",
            "Ioffe and Szegedy: less with it; Santurkar et al.: no less, and not the reason (figures only)",
            "as a reason today rather rejected",
            arm=BATCH_NORM,
            measure=DRIFT,
        ),
    ),
    tuple(map(Arm, NORMS)),
    (
        Claim("without batch normalisation the loss along the gradient has the larger range", RANGE, NONE, BATCH_NORM),
        Claim("without batch normalisation activations drift more", DRIFT, NONE, BATCH_NORM),
    ),
    {
        "quick": _scale("digits", "quick", 3, "Of 364 digits.", "1 minute on two cores", (700, 700)),
        "cpu": _scale("cifar10", "cpu", 5, "Of about 3,750 images.", "15 minutes on two cores", (5000, 2000)),
        "paper": _scale("cifar10", "paper", 5, "Of about 37,500 images.", "10 hours on two cores", (50_000, 10_000)),
    },
    (RANGE, DRIFT, LOSS),
    compute,
    curves=(
        Curve("range", "Range of the loss along the gradient", over="step"),
        Curve("drift", "Drift of the last stage's mean", over="step"),
        Curve("loss", "Training loss", over="step"),
    ),
)  # fmt: skip
