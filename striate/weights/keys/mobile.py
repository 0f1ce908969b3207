"""Other libraries' names of the mobile networks: ShuffleNet, MnasNet, NASNet."""

from __future__ import annotations

from collections.abc import Iterator

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, conv_norm

# The concatenation at stride 2 has the branch first there.
SHUFFLENET = KeyMap(
    table(
        Rename,
        """
        theirs                                  ours
        features.init_block.conv                stem.0.conv
        features.init_block.bn                  stem.0.norm
        features.stage{s}.unit{u}.compress_conv1  stage{s+1}.{u-1}.branch.0.conv
        features.stage{s}.unit{u}.compress_bn1  stage{s+1}.{u-1}.branch.0.norm
        features.stage{s}.unit{u}.dw_conv2      stage{s+1}.{u-1}.branch.2.conv
        features.stage{s}.unit{u}.dw_bn2        stage{s+1}.{u-1}.branch.2.norm
        features.stage{s}.unit{u}.expand_conv3  stage{s+1}.{u-1}.branch.3.conv
        features.stage{s}.unit{u}.expand_bn3    stage{s+1}.{u-1}.branch.3.norm
        output                                  head
        """,
    ),
    {"join": "branch"},
)


def _torchvision_mnasnet() -> Iterator[Rename]:
    """Layers are numbered through there, in a stage and in a block: convolution, normalisation, activation."""
    yield from _layers("layers", ("stage1", "stage2.0.depthwise", "stage2.0.project"), (0, 3, 6))
    yield from _layers("layers", ("stage9",), (14,))
    parts = tuple(f"stage{{s-5}}.{{b}}.{part}" for part in ("expand", "depthwise", "project"))
    yield from _layers("layers.{s}.{b}.layers", parts, (0, 3, 6))
    yield Rename("classifier.1", "head")


def _layers(theirs: str, ours: tuple[str, ...], places: tuple[int, ...]) -> Iterator[Rename]:
    for name, place in zip(ours, places, strict=True):
        yield Rename(f"{theirs}.{place}", f"{name}.conv")
        yield Rename(f"{theirs}.{place + 1}", f"{name}.norm")


def _pytorchcv_mnasnet(layers: int) -> Iterator[Rename]:
    """A stage there has one resolution, so the third has ours of 14x14; `layers` are those of the first of these."""
    blocks = {f"stage3.unit{number}": f"stage5.{number - 1}" for number in range(1, layers + 1)}
    blocks |= {"stage3.unit{u}": f"stage6.{{u-{layers + 1}}}", "stage4.unit{u}": "stage7.{u-1}"}
    blocks |= {"stage{s}.unit{u}": "stage{s+2}.{u-1}", "final_block.conv1": "stage8.0", "init_block.conv2": "stage2.0"}
    parts = (("exp_conv", "expand"), ("dw_conv", "depthwise"), ("pw_conv", "project"))
    for theirs, ours in blocks.items():
        yield from conv_norm([Rename(f"features.{theirs}.{there}", f"{ours}.{here}") for there, here in parts])
        yield Rename(f"features.{theirs}.se.conv1", f"{ours}.depthwise.excitation.reduce")
        yield Rename(f"features.{theirs}.se.conv2", f"{ours}.depthwise.excitation.expand")
    yield from conv_norm(
        (Rename("features.init_block.conv1", "stage1"), Rename("features.final_block.conv2", "stage9"))
    )
    yield Rename("output", "head")


# Ports pad on all sides and have torch's epsilon.
_PORTS = {"padding": "half", "norm_eps": 1e-5}
MNASNET_TORCHVISION = {"mnasnet_b1": KeyMap(tuple(_torchvision_mnasnet()), _PORTS)}
MNASNET_PYTORCHCV = {
    net: KeyMap(tuple(_pytorchcv_mnasnet(layers)), _PORTS)
    for net, layers in (("mnasnet_a1", 4), ("mnasnet_b1", 3), ("mnasnet_small", 4))
}


def _cell(theirs: str, ours: str, rows: str) -> tuple[Rename, ...]:
    return tuple(Rename(f"{theirs}.{row.theirs}", f"{ours}.{row.ours}") for row in table(Rename, rows))


_TIMM_CELL = """
    theirs                                                ours
    conv_1x1.conv                                         squeeze.1
    conv_1x1.bn                                           squeeze.2
    conv_prev_1x1.conv                                    previous.1
    conv_prev_1x1.bn                                      previous.2
    path_{k}.conv                                         previous.path{k}
    final_path_bn                                         previous.norm
    comb_iter_{i}_{X}.separable_{k}.depthwise_conv2d      lines.{i}.{X}.{k-1}.depthwise
    comb_iter_{i}_{X}.separable_{k}.pointwise_conv2d      lines.{i}.{X}.{k-1}.pointwise
    comb_iter_{i}_{X}.bn_sep_{k}                          lines.{i}.{X}.{k-1}.norm
"""
_PYTORCHCV_CELL = """
    theirs                             ours
    conv1x1.conv                       squeeze.1
    conv1x1.bn                         squeeze.2
    conv1x1_prev.conv                  previous.1
    conv1x1_prev.bn                    previous.2
    path.path{k}.conv                  previous.path{k}
    path.bn                            previous.norm
    comb{i}_{X}.conv{k}.conv.dw_conv   lines.{i}.{X}.{k-1}.depthwise
    comb{i}_{X}.conv{k}.conv.pw_conv   lines.{i}.{X}.{k-1}.pointwise
    comb{i}_{X}.conv{k}.bn             lines.{i}.{X}.{k-1}.norm
"""


def _pytorchcv_nasnet(repeats: int) -> KeyMap:
    """There, cells are numbered within a stage, which starts with a reduction but for the first; `repeats` is N."""
    cells = {"stem{s}_unit": "stem_cell{s}", "stage1.unit{u}": "cell{u}"}
    cells |= {"stage2.unit1": "reduce1", "stage2.unit{u}": f"cell{{u+{repeats - 1}}}"}
    cells |= {"stage3.unit1": "reduce2", "stage3.unit{u}": f"cell{{u+{2 * repeats - 1}}}"}
    rules = [rule for theirs, ours in cells.items() for rule in _cell(f"features.{theirs}", ours, _PYTORCHCV_CELL)]
    return KeyMap((*conv_norm((Rename("features.init_block", "stem"),)), *rules, Rename("output.fc", "head")))


NASNET_PYTORCHCV = {"nasnet_a_mobile": _pytorchcv_nasnet(4), "nasnet_a_large": _pytorchcv_nasnet(6)}
# timm's averages of stride 2 count their padding.
NASNET_TIMM = {
    "nasnet_a_large": KeyMap(
        (
            *conv_norm((Rename("conv0", "stem"),)),
            *_cell("cell_stem_{s}", "stem_cell{s+1}", _TIMM_CELL),
            *_cell("reduction_cell_{s}", "reduce{s+1}", _TIMM_CELL),
            *_cell("cell_{s}", "cell{s+1}", _TIMM_CELL),
            Rename("last_linear", "head"),
        ),
        {"count_border": True},
    )
}
