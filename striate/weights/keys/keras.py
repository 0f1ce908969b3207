"""Keras Applications' layers by name and order (Keras 3.15, Apache-2.0), and its published weights."""

from __future__ import annotations

from collections.abc import Iterator

from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, StoredRow, published

EPS_ABOVE = 1e-8  # its ResNet and DenseNet have an epsilon of 1.001e-5, ours torch's of 1e-5
HEAD = Rename("predictions", "head")

# Inception-v3's convolutions, by module. Keras counts them through and sorts them by their distance from the module's
# end, so the order is all there is to go by.
INCEPTION = """
    conv1a - | conv2a - | conv2b - | conv3b - | conv4a -
    mixed5b mixed5c mixed5d: long.0 | short.0 long.1 | 1x1.0 short.1 long.2 pool.1
    mixed6a: long.0 | long.1 | short.0 long.2
    mixed6b mixed6c mixed6d mixed6e: long.0 | long.1 | short.0 long.2 | short.1 long.3 | 1x1.0 short.2 long.4 pool.1
    mixed7a: long.0 | long.1 | short.0 long.2 | short.1 long.3
    mixed7b mixed7c: long.0 | short.0 long.1 | short.1.row short.1.column long.2.row long.2.column | 1x1.0 pool.1
"""


def _block(theirs: str, ours: str, norm: str = "_bn", conv: str = "_conv") -> tuple[Rename, Rename]:
    """A convolution and its normalisation."""
    return Rename(f"{theirs}{conv}", f"{ours}.conv"), Rename(f"{theirs}{norm}", f"{ours}.norm")


def vgg_rules(net: str) -> Iterator[Rename]:
    """A column of VGG."""
    from striate.nets.vgg import VARIANTS, stages

    for number, layers in enumerate(stages(VARIANTS[net].options["configuration"]), start=1):  # type: ignore[arg-type]
        for conv, _ in enumerate(layers, start=1):
            yield Rename(f"block{number}_conv{conv}", f"stage{number}.conv{conv}.conv")
    yield from (Rename("fc1", "fc6.0"), Rename("fc2", "fc7.0"), HEAD)


def resnet_rules(depth: int) -> Iterator[Rename]:
    """A ResNet of bottlenecks. Where a shortcut has a convolution, it comes before the block's third."""
    from striate.nets.resnet import stages

    yield from _block("conv1", "conv1")
    for number, stage in enumerate(stages(depth), start=2):
        for block in range(stage.blocks):
            theirs, ours = f"conv{number}_block{block + 1}", f"conv{number}_x.{block}"
            for place in (1, 2):
                yield from _block(f"{theirs}_{place}", f"{ours}.conv{place}")
            conv, norm = _block(f"{theirs}_3", f"{ours}.conv3")
            if block == 0:
                shortcut_conv, shortcut_norm = _block(f"{theirs}_0", f"{ours}.shortcut")
                yield from (shortcut_conv, conv, shortcut_norm, norm)
            else:
                yield from (conv, norm)
    yield HEAD


def mobilenet_v1_rules() -> Iterator[Rename]:
    """A MobileNet of any width; its classifier is a convolution there."""
    from striate.nets.mobilenet_v1 import stages

    yield from _block("conv1", "stem", conv="")
    _, *rows = stages()
    places = [f"stage{number}.{block}" for number, row in enumerate(rows, start=1) for block in range(row.blocks)]
    for number, ours in enumerate(places, start=1):
        yield from _block(f"conv_dw_{number}", f"{ours}.depthwise", conv="")
        yield from _block(f"conv_pw_{number}", f"{ours}.pointwise", conv="")
    yield Rename("conv_preds", "head")


def mobilenet_v2_rules() -> Iterator[Rename]:
    """A MobileNetV2 of any width, whose blocks are numbered through there."""
    from striate.nets.mobilenet_v2 import stages

    yield from (Rename("Conv1", "stem.conv"), Rename("bn_Conv1", "stem.norm"))
    _, *rows, _ = stages()
    places = [(number, row, block) for number, row in enumerate(rows, start=1) for block in range(row.blocks)]
    for place, (number, row, block) in enumerate(places):
        theirs = f"block_{place}" if place else "expanded_conv"
        for part in ("expand", "depthwise", "project"):
            if part != "expand" or row.expansion > 1:
                yield from _block(f"{theirs}_{part}", f"stage{number}.{block}.{part}", norm="_BN", conv="")
    yield from (*_block("Conv_1", "conv", conv=""), HEAD)


def densenet_rules(depth: int) -> Iterator[Rename]:
    """A DenseNet; its layers are numbered by what comes before them: 0_bn, 1_conv, 1_bn, 2_conv."""
    from striate.nets.densenet import ROWS

    row = next(row for row in ROWS if row.network.depth == depth)
    yield from (Rename("conv1_conv", "stem.0"), Rename("conv1_bn", "stem.1"))
    for number, layers in enumerate((row.block1, row.block2, row.block3, row.block4), start=1):
        for layer in range(layers):
            theirs, ours = f"conv{number + 1}_block{layer + 1}", f"block{number}.{layer}"
            for place in (1, 2):
                yield Rename(f"{theirs}_{place - 1}_bn", f"{ours}.conv{place}.norm")
                yield Rename(f"{theirs}_{place}_conv", f"{ours}.conv{place}.conv")
        if number < 4:
            yield Rename(f"pool{number + 1}_bn", f"transition{number}.0.norm")
            yield Rename(f"pool{number + 1}_conv", f"transition{number}.0.conv")
    yield from (Rename("bn", "last.0"), HEAD)


def efficientnet_rules(net: str) -> Iterator[Rename]:
    """An EfficientNet, whose blocks have the number of their stage and a letter."""
    from striate.nets.efficientnet import ROWS, SCALE_ROWS, EfficientNet

    scale = next(scale for scale in SCALE_ROWS if net.endswith(scale.net))
    yield from _block("stem", "stage1")
    for row in (EfficientNet.scaled(row, scale.width, scale.depth) for row in ROWS[1:-1]):
        for block in range(row.layers):
            theirs, ours = f"block{row.stage - 1}{chr(ord('a') + block)}", f"stage{row.stage}.{block}"
            if row.expansion > 1:
                yield from _block(f"{theirs}_expand", f"{ours}.expand")
            yield from _block(theirs, f"{ours}.depthwise", conv="_dwconv")
            yield Rename(f"{theirs}_se_reduce", f"{ours}.depthwise.excitation.reduce")
            yield Rename(f"{theirs}_se_expand", f"{ours}.depthwise.excitation.expand")
            yield from _block(f"{theirs}_project", f"{ours}.project")
    yield from (*_block("top", "stage9"), HEAD)


def inception_rules() -> Iterator[Rename]:
    """Inception-v3, under our names in the order of its layers."""
    stem, *rows = INCEPTION.strip().splitlines()
    places = [cell.split()[0] for cell in stem.split("|")]
    for row in rows:
        modules, _, paths = row.partition(":")
        places += [f"{module}.{path}" for module in modules.split() for path in paths.replace("|", "").split()]
    for place in places:
        yield from _block(place, place, norm=".norm", conv=".conv")
    yield HEAD


def key_map(net: str, arch: str = "") -> KeyMap | None:
    """The rules for a network, or None."""
    if net not in {row.net for row in WEIGHTS}:
        return None
    if net.startswith("vgg"):
        return KeyMap(tuple(vgg_rules(net)), bgr=True, keras=True, flattened="fc6.0")
    if net.startswith("resnet"):
        rules = tuple(resnet_rules(int(net.removeprefix("resnet"))))
        return KeyMap(rules, bgr=True, norm_bias=True, eps_above=EPS_ABOVE, keras=True)
    if net.startswith("mobilenet_v1"):
        return KeyMap(tuple(mobilenet_v1_rules()), {"activation": "relu6"}, keras=True)
    if net.startswith("mobilenet_v2"):
        return KeyMap(tuple(mobilenet_v2_rules()), keras=True)
    if net.startswith("densenet"):
        return KeyMap(tuple(densenet_rules(int(net.removeprefix("densenet")))), eps_above=EPS_ABOVE, keras=True)
    if net.startswith("efficientnet"):
        return KeyMap(tuple(efficientnet_rules(net)), keras=True, normalises=True)
    return KeyMap(tuple(inception_rules()), keras=True)


WEIGHTS = published("keras", StoredRow)

DIFFERENT = {
    **{f"resnet{depth}_modern": f"Keras's has the stride in the 1x1 convolution: import it as resnet{depth}"
       for depth in (50, 101, 152)},
    "preact_resnet152": "Keras's ResNet152V2 has the stride in the last unit of a stage, and pools in its shortcut",
    "inception_v3": "Keras's has no auxiliary head: import it as inception_v3_no_aux",
}  # fmt: skip
