"""Zero is easier to learn than the identity: the same stack of layers is trained to give either."""

from __future__ import annotations

from striate.studies.study import Arm, Claim, Context, Published, Result, Scale, Study

LEFT = "error left, % of the input's mean square"
DEPTHS = (2, 6)
STEPS = {"quick": 150, "cpu": 2000, "paper": 20_000}
CHANNELS, SIDE, BATCH, LR = 16, 8, 32, 0.01


def compute(arm: Arm, context: Context) -> Result:
    """Train a stack of convolutions on random maps, none below 0; the error on fresh ones, and its course."""
    import torch
    from torch import nn

    torch.manual_seed(context.seed)
    depth = arm.settings["depth"]
    layers: list[nn.Module] = []
    for place in range(depth):
        conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        layers += [conv, nn.ReLU()] if place < depth - 1 else [conv]
    net = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(net.parameters(), LR, momentum=0.9)
    steps, wanted = STEPS[context.scale], arm.settings["identity"]
    curve = []

    def left(count: int) -> torch.Tensor:
        x = torch.randn(count, CHANNELS, SIDE, SIDE).relu()
        error: torch.Tensor = (net(x) - wanted * x).square().mean() / x.square().mean()
        return error

    for step in range(1, steps + 1):
        loss = left(BATCH)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % (steps // 10) == 0:
            curve.append({"epoch": float(step), "loss": float(loss.detach())})
    with torch.no_grad():
        return Result({LEFT: 100 * float(left(512))}, curve=tuple(curve))


def _label(what: str, depth: int) -> str:
    return f"{what}, {depth} layers"


def _scale(steps: int, seeds: int, time: str) -> Scale:
    return Scale(
        "",
        {},
        seeds,
        f"The paper argues, and measures no such thing. Here: 3 x 3 convolutions of {CHANNELS} channels with ReLU "
        f"between them, random maps, {steps:,} steps; the curves count steps.",
        time,
    )


STUDY = Study(
    "zero-or-identity",
    "Learning zero and learning the identity",
    "Is zero, what a residual branch has to learn where nothing is to be done, easier to learn than the identity?",
    "He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 3.1",
    "S4",
    (Published("the lecture: learning zeros is easier than identity", "an argument, without numbers"),),
    tuple(
        Arm(_label(what, depth), {"depth": depth, "identity": float(what == "identity")})
        for depth in DEPTHS
        for what in ("zero", "identity")
    ),
    tuple(
        Claim(
            f"of {depth} layers, more of the error is left for the identity",
            LEFT,
            _label("identity", depth),
            _label("zero", depth),
        )
        for depth in DEPTHS
    ),
    {
        "quick": _scale(STEPS["quick"], 3, "1 minute on two cores"),
        "cpu": _scale(STEPS["cpu"], 5, "10 minutes on two cores"),
        "paper": _scale(STEPS["paper"], 5, "30 minutes on two cores"),
    },
    (LEFT,),
    compute,
)
