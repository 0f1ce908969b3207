"""torchvision's names (0.28, BSD-3-Clause), and its published weights."""

from __future__ import annotations

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, PublishedRow, conv_norm, mobile, published

RESNET = table(
    Rename,
    """
    theirs                     ours
    conv1                      conv1.conv
    bn1                        conv1.norm
    layer{s}.{b}.conv{c}       conv{s+1}_x.{b}.conv{c}.conv
    layer{s}.{b}.bn{c}         conv{s+1}_x.{b}.conv{c}.norm
    layer{s}.{b}.downsample.0  conv{s+1}_x.{b}.shortcut.conv
    layer{s}.{b}.downsample.1  conv{s+1}_x.{b}.shortcut.norm
    fc                         head
    """,
)

# ResNeXt's blocks have their convolutions one module further down.
RESNEXT = tuple(Rename(rule.theirs, rule.ours.replace("{b}.conv{c}", "{b}.transformations.conv{c}")) for rule in RESNET)

# The published files still have the names of torch 0.3, with a dot before the number.
DENSENET = table(
    Rename,
    """
    theirs                                        ours
    features.conv0                                stem.0
    features.norm0                                stem.1
    features.denseblock{b}.denselayer{l}.norm{c}  block{b}.{l-1}.conv{c}.norm
    features.denseblock{b}.denselayer{l}.conv{c}  block{b}.{l-1}.conv{c}.conv
    features.denseblock{b}.denselayer{l}.norm.{c} block{b}.{l-1}.conv{c}.norm
    features.denseblock{b}.denselayer{l}.conv.{c} block{b}.{l-1}.conv{c}.conv
    features.transition{t}.norm                   transition{t}.0.norm
    features.transition{t}.conv                   transition{t}.0.conv
    features.norm5                                last.0
    classifier                                    head
    """,
)

ALEXNET = table(
    Rename,
    """
    theirs        ours
    features.0    conv1.conv
    features.3    conv2.conv
    features.6    conv3.conv
    features.8    conv4.conv
    features.10   conv5.conv
    classifier.1  fc6.full
    classifier.4  fc7.full
    classifier.6  head
    """,
)

VGG_HEAD = table(
    Rename,
    """
    theirs        ours
    classifier.0  fc6.0
    classifier.3  fc7.0
    classifier.6  head
    """,
)

INCEPTION_BLOCKS = table(
    Rename,
    """
    theirs                     ours
    Conv2d_{X}_{K}             conv{X}
    Mixed_{X}.branch1x1        mixed{X}.1x1.0
    Mixed_{X}.branch_pool      mixed{X}.pool.1
    Mixed_{X}.branch5x5_{i}    mixed{X}.short.{i-1}
    Mixed_{X}.branch3x3dbl_{i} mixed{X}.long.{i-1}
    Mixed_6a.branch3x3         mixed6a.short.0
    Mixed_{X}.branch7x7_{i}    mixed{X}.short.{i-1}
    Mixed_{X}.branch7x7dbl_{i} mixed{X}.long.{i-1}
    Mixed_7a.branch3x3_{i}     mixed7a.short.{i-1}
    Mixed_7a.branch7x7x3_{i}   mixed7a.long.{i-1}
    Mixed_{X}.branch3x3_1      mixed{X}.short.0
    Mixed_{X}.branch3x3_2a     mixed{X}.short.1.row
    Mixed_{X}.branch3x3_2b     mixed{X}.short.1.column
    Mixed_{X}.branch3x3dbl_3a  mixed{X}.long.2.row
    Mixed_{X}.branch3x3dbl_3b  mixed{X}.long.2.column
    """,
)
INCEPTION = (*conv_norm(INCEPTION_BLOCKS), Rename("fc", "head"))
AUXILIARY = (
    *conv_norm((Rename("AuxLogits.conv0", "auxiliary1.reduce"), Rename("AuxLogits.conv1", "auxiliary1.full"))),
    Rename("AuxLogits.fc", "auxiliary1.head"),
)
NO_AUXILIARY = (Rename("AuxLogits.{X}.{Y}", "-"), Rename("AuxLogits.fc", "-"))

GOOGLENET = (
    *conv_norm(
        table(
            Rename,
            """
            theirs                      ours
            conv1                       conv1.0
            conv2                       conv2.0
            conv3                       conv2.1
            inception{X}.branch1        inception{X}.1x1
            inception{X}.branch2.{i}    inception{X}.3x3.{i}
            inception{X}.branch3.{i}    inception{X}.5x5.{i}
            inception{X}.branch4.{i}    inception{X}.pool.{i}
            """,
        )
    ),
    Rename("fc", "head"),
)
GOOGLENET_AUXILIARY = (
    *conv_norm((Rename("aux{k}.conv", "auxiliary{k}.conv"),)),
    Rename("aux{k}.fc1", "auxiliary{k}.full"),
    Rename("aux{k}.fc2", "auxiliary{k}.head"),
)
NO_GOOGLENET_AUXILIARY = (Rename("aux{k}.conv.{X}", "-"), Rename("aux{k}.fc1", "-"), Rename("aux{k}.fc2", "-"))

# A block of the first stage has no expansion convolution, so its parts are numbered differently.
EFFICIENTNET = table(
    Rename,
    """
    theirs                         ours
    features.0.0                   stage1.conv
    features.0.1                   stage1.norm
    features.1.{b}.block.0.0       stage2.{b}.depthwise.conv
    features.1.{b}.block.0.1       stage2.{b}.depthwise.norm
    features.1.{b}.block.1.fc1     stage2.{b}.depthwise.excitation.reduce
    features.1.{b}.block.1.fc2     stage2.{b}.depthwise.excitation.expand
    features.1.{b}.block.2.0       stage2.{b}.project.conv
    features.1.{b}.block.2.1       stage2.{b}.project.norm
    features.{s}.{b}.block.0.0     stage{s+1}.{b}.expand.conv
    features.{s}.{b}.block.0.1     stage{s+1}.{b}.expand.norm
    features.{s}.{b}.block.1.0     stage{s+1}.{b}.depthwise.conv
    features.{s}.{b}.block.1.1     stage{s+1}.{b}.depthwise.norm
    features.{s}.{b}.block.2.fc1   stage{s+1}.{b}.depthwise.excitation.reduce
    features.{s}.{b}.block.2.fc2   stage{s+1}.{b}.depthwise.excitation.expand
    features.{s}.{b}.block.3.0     stage{s+1}.{b}.project.conv
    features.{s}.{b}.block.3.1     stage{s+1}.{b}.project.norm
    features.8.0                   stage9.conv
    features.8.1                   stage9.norm
    classifier.1                   head
    """,
)


def mobilenet_v2_rules() -> tuple[Rename, ...]:
    """Rules for MobileNetV2, whose blocks are numbered through there, and by stage here."""
    from striate.nets.mobilenet_v2 import stages

    first, *bottlenecks, _ = stages()
    del first
    rules = [Rename("features.0.0", "stem.conv"), Rename("features.0.1", "stem.norm")]
    places = [(number, block) for number, stage in enumerate(bottlenecks, start=1) for block in range(stage.blocks)]
    for place, (number, block) in enumerate(places, start=1):
        theirs, ours = f"features.{place}.conv", f"stage{number}.{block}"
        parts = ("depthwise",) if bottlenecks[number - 1].expansion == 1 else ("expand", "depthwise")
        for index, part in enumerate(parts):
            rules.append(Rename(f"{theirs}.{index}.0", f"{ours}.{part}.conv"))
            rules.append(Rename(f"{theirs}.{index}.1", f"{ours}.{part}.norm"))
        rules.append(Rename(f"{theirs}.{len(parts)}", f"{ours}.project.conv"))
        rules.append(Rename(f"{theirs}.{len(parts) + 1}", f"{ours}.project.norm"))
    last = len(places) + 1
    rules += [Rename(f"features.{last}.0", "conv.conv"), Rename(f"features.{last}.1", "conv.norm")]
    return (*rules, Rename("classifier.1", "head"))


# Indices of the eight Fire modules in `features`; convolution, ReLU and pooling have the others.
FIRES = {"squeezenet1_0": (3, 4, 5, 7, 8, 9, 10, 12), "squeezenet1_1": (3, 4, 6, 7, 9, 10, 11, 12)}


def squeezenet_rules(net: str) -> tuple[Rename, ...]:
    """Rules for a version of SqueezeNet."""
    fires = [
        Rename(f"features.{place}.{theirs}", f"fire{number}.{ours}.conv")
        for number, place in enumerate(FIRES[net], start=2)
        for theirs, ours in (("squeeze", "squeeze1x1"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3"))
    ]
    return (Rename("features.0", "conv1.conv"), *fires, Rename("classifier.1", "conv10.conv"))


def vgg_rules(net: str) -> tuple[Rename, ...]:
    """Rules for the convolutions of a VGG network, which are numbered there together with every ReLU and pooling."""
    from striate.nets.vgg import VARIANTS, stages

    options = VARIANTS[net].options
    batch_norm = bool(options.get("batch_norm"))
    rules, place = [], 0
    for number, layers in enumerate(stages(options["configuration"]), start=1):  # type: ignore[arg-type]
        for conv, _ in enumerate(layers, start=1):
            rules.append(Rename(f"features.{place}", f"stage{number}.conv{conv}.conv"))
            if batch_norm:
                rules.append(Rename(f"features.{place + 1}", f"stage{number}.conv{conv}.norm"))
            place += 3 if batch_norm else 2
        place += 1
    return tuple(rules)


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    if net in ("resnet18", "resnet34", "resnet50_modern", "resnet101_modern", "resnet152_modern"):
        return KeyMap(RESNET)
    if net == "wide_resnet50_2":
        return KeyMap(RESNET)
    if net in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
        return KeyMap(RESNEXT)
    if net in ("densenet121", "densenet161", "densenet169", "densenet201"):
        return KeyMap(DENSENET)
    if net in FIRES:
        # There, as in the paper's table, version 1.0 has no padding before conv10.
        return KeyMap(squeezenet_rules(net), {"border": False})
    if net.removesuffix("_bn") in ("vgg11", "vgg13", "vgg16", "vgg19"):
        return KeyMap((*vgg_rules(net), *VGG_HEAD))
    if net == "mobilenet_v2":
        return KeyMap(mobilenet_v2_rules(), {"padding": "half", "norm_eps": 1e-5})
    if net.startswith("efficientnet_b"):
        # The larger three were converted from TensorFlow, with its epsilon.
        return KeyMap(EFFICIENTNET, {"padding": "half", "norm_eps": 1e-3 if net[-1] in "567" else 1e-5})
    return {
        "alexnet_one_tower": KeyMap(ALEXNET),
        "googlenet": KeyMap((*GOOGLENET, *GOOGLENET_AUXILIARY), {"layers": "torchvision"}),
        "googlenet_no_aux": KeyMap((*GOOGLENET, *NO_GOOGLENET_AUXILIARY), {"layers": "torchvision"}),
        **mobile.MNASNET_TORCHVISION,
        "inception_v3": KeyMap((*INCEPTION, *AUXILIARY), {"count_border": True}),
        "inception_v3_no_aux": KeyMap((*INCEPTION, *NO_AUXILIARY), {"count_border": True}),
    }.get(net)


WEIGHTS = published("torchvision", PublishedRow)

_STRIDE = "torchvision's has the stride in the 3x3 convolution: import it as {net}_modern"
DIFFERENT = {
    **{net: _STRIDE.format(net=net) for net in ("resnet50", "resnet101", "resnet152")},
}
