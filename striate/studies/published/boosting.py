"""Residual networks as boosting: each block adds a correction to a sum that classifies already."""

from __future__ import annotations

from striate.studies.study import TEST_ERROR, Arm, Claim, Context, Published, Result, Scale, Study

RESIDUAL, PLAIN = "residual", "plain"
FILES = {
    RESIDUAL: ("resnet56-4bfd9763.th", "resnet56", "akamaster"),
    PLAIN: ("resnet56_plain_landscape.pt", "plain56", "landscape"),
}
ALL, KEPT = 9, (1, 3, 5, 7, 9)  # blocks of the last stage: of 56 layers, and those that are kept
SEEDS = 5
AT_ONCE = {"quick": 50, "cpu": 400, "paper": 2000}  # test images of a seed at most; each seed has other ones


def compute(arm: Arm, context: Context) -> Result:
    """The error of the network's own classifier on the map after the first so many blocks of the last stage."""
    import torch

    from striate.inference.backbones import net_of, normalised
    from striate.inspect.blocks import find_blocks, removal
    from striate.inspect.replacing import run_as
    from striate.studies.held_out import of_seed

    model = context.published(*FILES[arm.settings["net"]])
    found = of_seed(context, model, SEEDS, AT_ONCE[context.scale])
    net, images = net_of(model), normalised(found.crops(model.pixels), model)
    targets = torch.from_numpy(found.targets)
    blocks = find_blocks(net, images[:1])
    last = [block for block in blocks if block.after == blocks[-1].after]
    assert len(last) == ALL
    wrong = []
    with torch.no_grad(), run_as(net, {one.name: removal(net, one) for one in last[arm.settings["kept"] :]}):
        for x, y in zip(torch.split(images, 100), torch.split(targets, 100), strict=True):
            wrong.append(net(x).argmax(1) != y)
    return Result({TEST_ERROR: 100 * float(torch.cat(wrong).float().mean())})


def _label(net: str, kept: int) -> str:
    return f"{net}, {kept} of {ALL} blocks"


def _scale(images: str, seeds: int, time: str) -> Scale:
    return Scale(
        "cifar10",
        {},
        seeds,
        "The analogy comes without an experiment. Here the last blocks of trained networks of 56 layers are left out, "
        f"and nothing is trained again; each seed has {images}.",
        time,
    )


STUDY = Study(
    "boosting",
    "Residual networks as boosting",
    "Does each block add a correction, as in boosting, so that the sum of the first blocks classifies already?",
    "Veit, Wilber, Belongie 2016, arXiv:1605.06431 (sums of paths)",
    "S5",
    (Published("the lecture: a residual network is like boosting", "an analogy, without numbers"),),
    (
        *(Arm(_label(RESIDUAL, kept), {"net": RESIDUAL, "kept": kept}) for kept in KEPT),
        *(Arm(_label(PLAIN, kept), {"net": PLAIN, "kept": kept}) for kept in KEPT),
    ),
    (
        Claim("5 blocks have the larger error than 9", TEST_ERROR, _label(RESIDUAL, 5), _label(RESIDUAL, 9)),
        Claim("1 block has the larger error than 5", TEST_ERROR, _label(RESIDUAL, 1), _label(RESIDUAL, 5)),
        Claim("of 5 blocks, plain ones have the larger error", TEST_ERROR, _label(PLAIN, 5), _label(RESIDUAL, 5)),
        Claim("of 7 blocks, plain ones have the larger error", TEST_ERROR, _label(PLAIN, 7), _label(RESIDUAL, 7)),
    ),
    {
        "quick": _scale("50 test images of its own", 3, "1 minute on two cores"),
        "cpu": _scale("at most 400 test images of its own", SEEDS, "5 minutes on two cores"),
        "paper": _scale("2,000 test images of its own", SEEDS, "45 minutes on two cores"),
    },
    (TEST_ERROR,),
    compute,
    "resnet56-4bfd9763.th (akamaster/pytorch_resnet_cifar10) and resnet56_plain_landscape.pt "
    "(tomgoldstein/loss-landscape)",
)
