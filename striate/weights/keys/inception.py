"""timm's and pytorchcv's names of Inception-v4 and the Inception-ResNets: paths are numbered there, too."""

from __future__ import annotations

from collections.abc import Mapping

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, conv_norm

_TIMM_STEM = table(
    Rename,
    """
    theirs                ours
    features.0            stem1.0
    features.1            stem2.0
    features.2            stem3.0
    features.3.conv       stem4.path2.0
    features.4.branch0.{i} stem5.path1.{i}
    features.4.branch1.{i} stem5.path2.{i}
    features.5.conv       stem6.path1.0
    """,
)
_TIMM_BLOCK_C = table(
    Rename,
    """
    theirs         ours
    branch0        path1.0
    branch1_0      path2.0
    branch1_1a     path2.1.1x3
    branch1_1b     path2.1.3x1
    branch2_3a     path3.3.1x3
    branch2_3b     path3.3.3x1
    branch2_{i}    path3.{i}
    branch3.1      path4.1
    """,
)
# A path of one layer has no number there.
_TIMM_BRANCHES = table(
    Rename,
    """
    theirs         ours
    branch0.{i}    path1.{i}
    branch1.{i}    path2.{i}
    branch2.{i}    path3.{i}
    branch3.{i}    path4.{i}
    branch0        path1.0
    """,
)
# Modules are numbered through there; here, by stage.
_TIMM_V4 = {
    **{6 + block: f"a.{block}" for block in range(4)},
    10: "reduce_a",
    **{11 + block: f"b.{block}" for block in range(7)},
    18: "reduce_b",
    **{19 + block: f"c.{block}" for block in range(3)},
}
_TIMM_RESNET = {
    "mixed_5b": "stem6",
    "repeat.{b}": "a.{b}.paths",
    "mixed_6a": "reduce_a",
    "repeat_1.{b}": "b.{b}.paths",
    "mixed_7a": "reduce_b",
    "repeat_2.{b}": "c.{b}.paths",
    "block8": "c_last.0.paths",
}
_TIMM_RESNET_ENDS = table(
    Rename,
    """
    theirs      ours
    conv2d_1a   stem1.0
    conv2d_2a   stem2.0
    conv2d_2b   stem3.0
    conv2d_3b   stem4.0
    conv2d_4a   stem4.1
    conv2d_7b   last.0
    """,
)
_TIMM_LINEAR = table(
    Rename,
    """
    theirs               ours
    repeat.{b}.conv2d    a.{b}.linear
    repeat_1.{b}.conv2d  b.{b}.linear
    repeat_2.{b}.conv2d  c.{b}.linear
    block8.conv2d        c_last.0.linear
    """,
)


def _inside(theirs: str, ours: str, rules: tuple[Rename, ...]) -> tuple[Rename, ...]:
    return tuple(Rename(f"{theirs}.{rule.theirs}", f"{ours}.{rule.ours}") for rule in rules)


TIMM: Mapping[str, KeyMap] = {
    "inception_v4": KeyMap(
        (
            *conv_norm(_TIMM_STEM),
            *(
                rule
                for place, ours in _TIMM_V4.items()
                for rule in conv_norm(
                    _inside(f"features.{place}", ours, _TIMM_BLOCK_C if ours.startswith("c.") else _TIMM_BRANCHES)
                )
            ),
            Rename("last_linear", "head"),
        )
    ),
    "inception_resnet_v2": KeyMap(
        (
            *conv_norm(_TIMM_RESNET_ENDS),
            *(
                rule
                for theirs, ours in _TIMM_RESNET.items()
                for rule in conv_norm(_inside(theirs, ours, _TIMM_BRANCHES))
            ),
            *_TIMM_LINEAR,
            Rename("classif", "head"),
        )
    ),
}

_CV_BRANCHES = table(
    Rename,
    """
    theirs                          ours
    branch{k}.conv_list.conv{i}     path{k}.{i-1}
    branch4.conv                    path4.1
    branch{k}.conv                  path{k}.0
    """,
)
_CV_BLOCK_C = table(
    Rename,
    """
    theirs                          ours
    branch2.conv1x3                 path2.1.1x3
    branch2.conv3x1                 path2.1.3x1
    branch3.conv1x3                 path3.3.1x3
    branch3.conv3x1                 path3.3.3x1
    """,
)
_CV_V4_STEM = table(
    Rename,
    """
    theirs                                         ours
    conv{i}                                        stem{i}.0
    block1.branches.branch2.conv                   stem4.path2.0
    block2.branches.branch{k}.conv_list.conv{i}    stem5.path{k}.{i-1}
    block3.branches.branch1.conv                   stem6.path1.0
    """,
)
_CV_V2_STEM = table(
    Rename,
    """
    theirs      ours
    conv4       stem4.0
    conv5       stem4.1
    conv{i}     stem{i}.0
    """,
)
_CV_V1_STEM = table(
    Rename,
    """
    theirs      ours
    conv4       stem4.0
    conv5       stem4.1
    conv6       stem5.0
    conv{i}     stem{i}.0
    """,
)


def _cv(stem: tuple[Rename, ...], last: int = 0) -> tuple[Rename, ...]:
    """The rules of the convolutions. last: the unit of the last stage that is `c_last` here; 0: without residuals."""
    stages = {"stage1.unit{u}": "a.{u-1}", "stage2.unit1": "reduce_a", "stage2.unit{u}": "b.{u-2}"}
    stages |= {"stage3.unit1": "reduce_b"} | ({f"stage3.unit{last}": "c_last.0"} if last else {})
    stages |= {"stage3.unit{u}": "c.{u-2}"}
    rules = [Rename(f"features.init_block.{rule.theirs}", rule.ours) for rule in stem]
    linear = []
    for theirs, ours in stages.items():
        residual = last and not ours.startswith("reduce")
        paths = f"{ours}.paths" if residual else ours
        branches = (*_CV_BLOCK_C, *_CV_BRANCHES) if not last else _CV_BRANCHES
        rules += _inside(f"features.{theirs}.branches", paths, branches)
        if residual:
            linear.append(Rename(f"features.{theirs}.conv", f"{ours}.linear"))
    return (*conv_norm(rules), *linear)


PYTORCHCV: Mapping[str, KeyMap] = {
    "inception_v4": KeyMap((*_cv(_CV_V4_STEM), Rename("output.fc", "head"))),
    "inception_resnet_v2": KeyMap(
        (
            *conv_norm(_inside("features.init_block.block.branches", "stem6", _CV_BRANCHES)),
            *_cv(_CV_V2_STEM, 11),
            *conv_norm((Rename("features.final_conv", "last.0"),)),
            Rename("output.fc", "head"),
        )
    ),
    "inception_resnet_v1_facenet": KeyMap(
        (
            *_cv(_CV_V1_STEM, 7),
            Rename("output.fc1", "reduce"),
            Rename("output.bn", "norm"),
            Rename("output.fc2", "head"),
        )
    ),
}
