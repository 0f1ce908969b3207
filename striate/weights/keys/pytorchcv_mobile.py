"""pytorchcv's names (0.0.74, MIT) of MobileNet and EfficientNet, whose stages are divided otherwise there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import conv_norm
from striate.weights.keys.pytorchcv_names import HEAD

# The separable convolutions of a stage there are several stages here, as the paper's rows are.
MOBILENET_V1 = (
    *conv_norm(
        (
            Rename("features.init_block", "stem"),
            *(
                Rename(f"features.{place.theirs}.{part.theirs}", f"{place.ours}.{part.ours}")
                for place in table(
                    Rename,
                    """
                    theirs          ours
                    stage1.unit1    stage1.0
                    stage2.unit1    stage2.0
                    stage2.unit2    stage3.0
                    stage3.unit1    stage4.0
                    stage3.unit2    stage5.0
                    stage4.unit1    stage6.0
                    stage4.unit{u}  stage7.{u-2}
                    stage5.unit1    stage8.0
                    stage5.unit2    stage9.0
                    """,
                )
                for part in (Rename("dw_conv", "depthwise"), Rename("pw_conv", "pointwise"))
            ),
        )
    ),
    HEAD,
)


def mobilenet_v2_rules() -> tuple[Rename, ...]:
    """Rules for MobileNetV2, some of whose stages are one there and two here."""
    from striate.nets.mobilenet_v2 import stages

    _, *bottlenecks, _ = stages()
    parts = (Rename("conv1", "expand"), Rename("conv2", "depthwise"), Rename("conv3", "project"))
    blocks = _blocks(((1,), (2,), (3,), (4, 5), (6, 7)), [stage.blocks for stage in bottlenecks], 1)
    rows = [Rename(f"{unit}.{part.theirs}", f"{block}.{part.ours}") for unit, block in blocks for part in parts]
    ends = (Rename("features.init_block", "stem"), Rename("features.final_block", "conv"))
    return (*conv_norm((*ends, *rows)), HEAD)


def efficientnet_rules(net: str) -> tuple[Rename, ...]:
    """Rules for an EfficientNet; the first stage has no expansion, so its parts have other names."""
    from striate.nets.efficientnet import ROWS, VARIANTS, EfficientNet

    options = VARIANTS[net].options
    layers = [EfficientNet.scaled(row, 1.0, float(str(options["depth"]))).layers for row in ROWS[1:-1]]
    ends = (Rename("features.init_block.conv", "stage1"), Rename("features.final_block", "stage9"))
    rows, excitations = [*ends], []
    for unit, block in _blocks(((2,), (3,), (4,), (5, 6), (7, 8)), layers, 2):
        parts = {"conv1": "expand", "conv2": "depthwise", "conv3": "project"}
        if block.startswith("stage2."):
            parts = {"dw_conv": "depthwise", "pw_conv": "project"}
        rows += [Rename(f"{unit}.{theirs}", f"{block}.{ours}") for theirs, ours in parts.items()]
        for theirs, ours in (("conv1", "reduce"), ("conv2", "expand")):
            excitations.append(Rename(f"{unit}.se.{theirs}", f"{block}.depthwise.excitation.{ours}"))
    return (*conv_norm(rows), *excitations, Rename("output.fc", "head"))


def _blocks(groups: Sequence[Sequence[int]], blocks: Sequence[int], first: int) -> Iterator[tuple[str, str]]:
    """Units there, blocks here. groups: for each stage there, our stages. blocks: in each of ours, from `first` on."""
    for number, ours in enumerate(groups, start=1):
        places = [f"stage{stage}.{block}" for stage in ours for block in range(blocks[stage - first])]
        for unit, place in enumerate(places, start=1):
            yield f"features.stage{number}.unit{unit}", place
