"""Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.

Christian Szegedy, Sergey Ioffe, Vincent Vanhoucke, Alex Alemi, 2016. arXiv:1602.07261.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from striate.layers.branches import Branches
from striate.nets.base import DropoutNet, Variant
from striate.nets.cells import MapSize, Steps
from striate.nets.inception_modules import Conv
from striate.nets.initialise import he_normal
from striate.nets.options import check_dropout, check_width, scaled
from striate.tables import table

# Figures 3 to 9: a module's paths are concatenated; `n` modules follow one another. All pooling is over 3x3; V, as in
# the figures, is without padding.
INCEPTION_V4 = """
    stage     n  input     path1       path2                    path3                                    path4
    stem1     1  299x3     3x3/2V,32   -                        -                                        -
    stem2     1  149x32    3x3V,32     -                        -                                        -
    stem3     1  147x32    3x3,64      -                        -                                        -
    stem4     1  147x64    max/2V      3x3/2V,96                -                                        -
    stem5     1  73x160    1x1,64;3x3V,96  1x1,64;1x7,64;7x1,64;3x3V,96  -                               -
    stem6     1  71x192    3x3/2V,192  max/2V                   -                                        -
    a         4  35x384    1x1,96      1x1,64;3x3,96            1x1,64;3x3,96;3x3,96                     avg;1x1,96
    reduce_a  1  35x384    3x3/2V,384  1x1,192;3x3,224;3x3/2V,256  max/2V                                -
    b         7  17x1024   1x1,384     1x1,192;1x7,224;7x1,256  1x1,192;7x1,192;1x7,224;7x1,224;1x7,256  avg;1x1,128
    reduce_b  1  17x1024   1x1,192;3x3/2V,192  1x1,256;1x7,256;7x1,320;3x3/2V,320  max/2V                -
    c         3  8x1536    1x1,256     1x1,384;1x3+3x1,256      1x1,384;3x1,448;1x3,512;1x3+3x1,256      avg;1x1,256
    pool      1  8x1536    -           -                        -                                        -
"""

# Figures 14, 10, 7, 11, 12 and 13. Where there is a `scale`, a 1x1 convolution to the channels of the input follows
# the paths; times `scale`, it is added to the input; `relu`: whether ReLU follows the sum.
RESNET_V1 = """
    stage     n   scale  relu  input    path1               path2                    path3                     path4
    stem1     1   -      -     299x3    3x3/2V,32           -                        -                         -
    stem2     1   -      -     149x32   3x3V,32             -                        -                         -
    stem3     1   -      -     147x32   3x3,64;max/2V       -                        -                         -
    stem4     1   -      -     73x64    1x1,80;3x3V,192     -                        -                         -
    stem5     1   -      -     71x192   3x3/2V,256          -                        -                         -
    a         5   0.17   yes   35x256   1x1,32              1x1,32;3x3,32            1x1,32;3x3,32;3x3,32      -
    reduce_a  1   -      -     35x256   3x3/2V,384          1x1,192;3x3,192;3x3/2V,256  max/2V                 -
    b         10  0.10   yes   17x896   1x1,128             1x1,128;1x7,128;7x1,128  -                         -
    reduce_b  1   -      -     17x896   1x1,256;3x3/2V,384  1x1,256;3x3/2V,256       1x1,256;3x3,256;3x3/2V,256  max/2V
    c         5   0.20   yes   8x1792   1x1,192             1x1,192;1x3,192;3x1,192  -                         -
    pool      1   -      -     8x1792   -                   -                        -                         -
"""

# Figures 3, 16, 7, 17, 18 and 19, whose stem is Inception-v4's.
RESNET_V2_FIGURES = """
    stage     n   scale  relu  input    path1               path2                    path3                     path4
    stem1     1   -      -     299x3    3x3/2V,32           -                        -                         -
    stem2     1   -      -     149x32   3x3V,32             -                        -                         -
    stem3     1   -      -     147x32   3x3,64              -                        -                         -
    stem4     1   -      -     147x64   max/2V              3x3/2V,96                -                         -
    stem5     1   -      -     73x160   1x1,64;3x3V,96      1x1,64;1x7,64;7x1,64;3x3V,96  -                    -
    stem6     1   -      -     71x192   3x3/2V,192          max/2V                   -                         -
    a         5   0.17   yes   35x384   1x1,32              1x1,32;3x3,32            1x1,32;3x3,48;3x3,64      -
    reduce_a  1   -      -     35x384   3x3/2V,384          1x1,256;3x3,256;3x3/2V,384  max/2V                 -
    b         10  0.10   yes   17x1152  1x1,192             1x1,128;1x7,160;7x1,192  -                         -
    reduce_b  1   -      -     17x1152  1x1,256;3x3/2V,384  1x1,256;3x3/2V,288       1x1,256;3x3,288;3x3/2V,320  max/2V
    c         5   0.20   yes   8x2144   1x1,192             1x1,192;1x3,224;3x1,256  -                         -
    pool      1   -      -     8x2144   -                   -                        -                         -
"""

# The network of the authors' code (TF-slim, inception_resnet_v2): other blocks at the start, and twice as many.
RESNET_V2 = """
    stage     n   scale  relu  input    path1               path2                    path3                     path4
    stem1     1   -      -     299x3    3x3/2V,32           -                        -                         -
    stem2     1   -      -     149x32   3x3V,32             -                        -                         -
    stem3     1   -      -     147x32   3x3,64;max/2V       -                        -                         -
    stem4     1   -      -     73x64    1x1,80;3x3V,192     -                        -                         -
    stem5     1   -      -     71x192   max/2V              -                        -                         -
    stem6     1   -      -     35x192   1x1,96              1x1,48;5x5,64            1x1,64;3x3,96;3x3,96     avg;1x1,64
    a         10  0.17   yes   35x320   1x1,32              1x1,32;3x3,32            1x1,32;3x3,48;3x3,64      -
    reduce_a  1   -      -     35x320   3x3/2V,384          1x1,256;3x3,256;3x3/2V,384  max/2V                 -
    b         20  0.10   yes   17x1088  1x1,192             1x1,128;1x7,160;7x1,192  -                         -
    reduce_b  1   -      -     17x1088  1x1,256;3x3/2V,384  1x1,256;3x3/2V,288       1x1,256;3x3,288;3x3/2V,320  max/2V
    c         9   0.20   yes   8x2080   1x1,192             1x1,192;1x3,224;3x1,256  -                         -
    c_last    1   1.0    no    8x2080   1x1,192             1x1,192;1x3,224;3x1,256  -                         -
    last      1   -      -     8x2080   1x1,1536            -                        -                         -
    pool      1   -      -     8x1536   -                   -                        -                         -
"""

# The sixth block C and the vector of 512 of davidsandberg/facenet, whose network of faces is Inception-ResNet-v1.
RESNET_V1_FACENET = RESNET_V1.replace(
    "    pool ", "    c_last    1   1.0    no    8x1792   1x1,192  1x1,192;1x3,192;3x1,192  -  -\n    pool "
)


class Row(NamedTuple):
    stage: str
    n: int
    input: MapSize
    path1: Steps | None
    path2: Steps | None
    path3: Steps | None
    path4: Steps | None


class ResidualRow(NamedTuple):
    stage: str
    n: int
    scale: float | None
    relu: bool | None
    input: MapSize
    path1: Steps | None
    path2: Steps | None
    path3: Steps | None
    path4: Steps | None


class Stage(NamedTuple):
    """The arguments of one stage: `n` modules of parallel paths; residual ones have a `scale`, 0 for the others."""

    name: str
    n: int
    scale: float
    relu: bool
    in_channels: int
    channels: int
    paths: tuple[Steps, ...]


def stages(text: str, in_channels: int = 3, width: float = 1.0) -> Iterator[Stage]:
    """The rows of a table up to the last map as stages, `width` times as wide."""
    rows: tuple[Row | ResidualRow, ...] = table(ResidualRow, text) if "scale" in text else table(Row, text)
    for row in rows[:-1]:
        scale, relu = (row.scale or 0.0, bool(row.relu)) if isinstance(row, ResidualRow) else (0.0, False)
        given = (row.path1, row.path2, row.path3, row.path4)
        paths = tuple(path.scaled(width) for path in given if path is not None)
        channels = in_channels if scale else sum(path.channels(in_channels) for path in paths)
        yield Stage(row.stage, row.n, scale, relu, in_channels, channels, paths)
        in_channels = channels


def _path(in_channels: int, steps: Steps) -> nn.Sequential:
    """Convolutions, each with batch normalisation and ReLU, and poolings in sequence."""
    layers: list[nn.Module] = []
    for step in steps:
        padding = 0 if step.valid else 1
        if step.kind == "max":
            layers.append(nn.MaxPool2d(3, step.stride, padding))
        elif step.kind == "avg":
            layers.append(nn.AvgPool2d(3, step.stride, padding, count_include_pad=False))
        else:
            convs = {
                f"{rows}x{columns}": Conv(
                    in_channels,
                    step.channels,
                    (rows, columns),
                    stride=step.stride,
                    padding="valid" if step.valid else "half",
                )
                for rows, columns in step.kernels
            }
            layers.append(Branches(convs) if len(convs) > 1 else convs.popitem()[1])
            in_channels = step.channels * len(step.kernels)
    return nn.Sequential(*layers)


def _paths(in_channels: int, paths: tuple[Steps, ...]) -> nn.Module:
    if len(paths) == 1:
        return _path(in_channels, paths[0])
    return Branches({f"path{number}": _path(in_channels, path) for number, path in enumerate(paths, start=1)})


class Residual(nn.Module):
    """The paths, a 1x1 convolution with neither normalisation nor activation, scaled, added to the input, ReLU.

    The convolution restores the number of channels. With more than a thousand filters such networks died early in
    training; small scales prevent that (section 3.3). Without `relu` the sum is the output. Input and output
    [N, channels, H, W].
    """

    def __init__(self, channels: int, paths: tuple[Steps, ...], scale: float, relu: bool) -> None:
        super().__init__()
        self.scale = scale
        self.paths = _paths(channels, paths)
        self.linear = nn.Conv2d(sum(path.channels(channels) for path in paths), channels, 1)
        self.act = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.scale * self.linear(self.paths(x)))
        return out


class InceptionV4(DropoutNet):
    """The stages of a table, global average pooling, dropout, a linear layer.

    `width` multiplies all channels; `dropout` is the dropout rate of the pooled vector. 299x299 images in the paper;
    any size of at least 75 is accepted. Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1).
    """

    table = INCEPTION_V4
    minimum_size = 75

    def __init__(self, *, classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        plan = list(stages(self.table, in_channels, width))
        for stage in plan:
            self.add_module(stage.name, _modules(stage))
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(stage.name for stage in plan)
        he_normal(self)  # The paper does not state it.


def _modules(stage: Stage) -> nn.Module:
    if stage.scale:
        blocks = (Residual(stage.channels, stage.paths, stage.scale, stage.relu) for _ in range(stage.n))
        return nn.Sequential(*blocks)
    modules = [_paths(stage.in_channels, stage.paths) for _ in range(stage.n)]
    return modules[0] if stage.n == 1 else nn.Sequential(*modules)


class InceptionResNetV1(InceptionV4):
    """Inception-ResNet-v1, about as expensive as Inception-v3; options as of InceptionV4."""

    table = RESNET_V1


class InceptionResNetV2(InceptionV4):
    """Inception-ResNet-v2 of the authors' code, about as expensive as Inception-v4; options as of InceptionV4."""

    table = RESNET_V2


class InceptionResNetV2Figures(InceptionV4):
    """Inception-ResNet-v2 of the paper's figures; options as of InceptionV4."""

    table = RESNET_V2_FIGURES


class InceptionResNetV1Facenet(InceptionV4):
    """Inception-ResNet-v1 as facenet has it: a sixth block C, and a linear layer to a normalised vector of 512."""

    table = RESNET_V1_FACENET

    def __init__(self, *, classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.6) -> None:
        super().__init__(classes=classes, in_channels=in_channels, width=width, dropout=dropout)
        self.embedding_size = scaled(512, width)
        self.reduce = nn.Linear(self.feature_channels, self.embedding_size, bias=False)
        self.norm = nn.BatchNorm1d(self.embedding_size, eps=1e-3)
        self.head = nn.Linear(self.embedding_size, classes)
        for layer in (self.reduce, self.head):
            he_normal(layer)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> vectors [N, embedding_size]."""
        vector: Tensor = self.norm(self.reduce(super().pooled(features)))
        return vector


VARIANTS = {
    "inception_v4": Variant(InceptionV4, {}),
    "inception_resnet_v1": Variant(InceptionResNetV1, {}),
    "inception_resnet_v1_facenet": Variant(InceptionResNetV1Facenet, {}),
    "inception_resnet_v2": Variant(InceptionResNetV2, {}),
    "inception_resnet_v2_figures": Variant(InceptionResNetV2Figures, {}),
    "inception_v4_tiny": Variant(InceptionV4, {"width": 1 / 16}),
    "inception_resnet_tiny": Variant(InceptionResNetV1, {"width": 1 / 16}),
}

# The figures contradict themselves in Inception-ResNet-v2: they print 1154 and 2048 channels where the concatenations
# of its reductions have 1152 and 2144, which is what the blocks add to. The released network, inception_resnet_v2, is
# another one: 10, 20 and 10 blocks for 5, 10 and 5, a stem like Inception-v3's with a module at its end, a last block
# without ReLU, and a 1x1 convolution to 1536. The published errors are the paper's; it does not say of which of the
# two.
# Deviations: in the stem the 1x7 comes before the 7x1, as in the authors' code; the figure has them the other way
# round, at the same cost. Scales are those of the authors' code, the paper states 0.1 to 0.3. Left open by the paper
# and taken from that code: epsilon, and average pooling that does not count its padding; the momentum of batch
# normalisation is torch's. The code's auxiliary head of Inception-v4 and Inception-ResNet-v2 is left out: the paper has
# none. The authors published no code of Inception-ResNet-v1; facenet's, for faces, is the best known, and
# inception_resnet_v1_facenet is that network with 1000 classes. The two tiny ones are ours, for tests.
