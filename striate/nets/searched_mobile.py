"""Networks found by a search over stages of inverted residual blocks: the table is an option, in MnasNet's form.

Mingxing Tan, Bo Chen, Ruoming Pang, Vijay Vasudevan, Mark Sandler, Andrew Howard, Quoc V. Le, 2018. arXiv:1807.11626.
`striate tune --architecture` writes such tables; the one below, the default, is MnasNet-A1's.
"""

from __future__ import annotations

from striate.errors import RequestError
from striate.nets.base import Variant
from striate.nets.mnasnet import A1, SIDE, MnasNet, Row, Stage, stages
from striate.nets.mobilenet_v1 import Padding
from striate.tables import table as read_table

# Of a table: larger values are taken for mistakes.
MOST_ROWS = 30
MOST_LAYERS = 40
MOST_CHANNELS = 4096
LARGEST_IMAGE = 4096
EXPANSIONS = range(1, 11)
KERNELS = (1, 3, 5, 7)
SE = 0.25  # the share of the block's input channels that squeeze-and-excitation has inside: the only one in MnasNet

TINY = """
    stage  operator  expansion  kernel  se    output  layers
    1      Conv      -          3       -     32x8    1
    2      SepConv   1          3       -     32x8    1
    3      MBConv    3          5       0.25  16x16   1
    4      MBConv    3          3       -     8x24    2
    5      Conv      -          1       -     8x48    1
"""


class SearchedMobile(MnasNet):
    """The stages of `table`, global average pooling, dropout, a linear layer.

    `table` has the columns of MnasNet's Figure 7, its sizes are those for an image of `image` pixels. `width` and
    `depth` multiply the channels but those of the last convolution, and the layers of each stage of blocks; `dropout`,
    `padding` and `norm_eps` are MnasNet's. Images of any size of at least 8 are accepted.
    Raises RequestError for a table that cannot be built, with its wrong line, and for values out of range.
    """

    table = A1
    minimum_size = 8
    momentum = 0.1  # torch's: a search trains for few steps, after which averages of the authors' 0.01 lag behind

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        table: str = A1,
        image: int = SIDE,
        width: float = 1.0,
        depth: float = 1.0,
        dropout: float = 0.2,
        padding: Padding = "same",
        norm_eps: float = 1e-3,
    ) -> None:
        if not 0 < depth <= 8:
            raise RequestError(f"depth must be above 0 and at most 8, not {depth}")
        check_table(table, image)
        # Plain values, which a module may have before its own constructor runs; that of the parent reads them.
        self.table, self.image, self.depth = table, image, depth
        super().__init__(
            classes=classes, in_channels=in_channels, width=width, dropout=dropout, padding=padding, norm_eps=norm_eps
        )

    def _plan(self, width: float) -> list[Stage]:
        return list(stages(self.table, self.in_channels, width, self.depth, self.image))


def check_table(text: str, image: int) -> None:
    """Raise RequestError unless the table can be built for an image of `image` pixels, with the first wrong row."""
    if not 8 <= image <= LARGEST_IMAGE:
        raise RequestError(f"image is a side of 8 to {LARGEST_IMAGE} pixels, not {image}")
    try:
        rows = read_table(Row, text)
    except ValueError as error:
        raise RequestError(f"the table of searched_mobile cannot be read: {error}") from error
    if not 3 <= len(rows) <= MOST_ROWS or {rows[0].operator, rows[-1].operator} != {"Conv"}:
        raise RequestError(
            f"the table of searched_mobile has 3 to {MOST_ROWS} rows, the first and the last a Conv; it has {len(rows)}"
        )
    side = image
    for number, row in enumerate(rows, start=1):
        if reason := _wrong(row, side):
            raise RequestError(f"row {number} of the table of searched_mobile: {reason}")
        if row.stage != number:
            raise RequestError(f"row {number} of the table of searched_mobile: its stage is {number}, not {row.stage}")
        side = row.output.height


def _wrong(row: Row, side: int) -> str:
    """What cannot be built of a row whose input has `side` pixels; "" for nothing."""
    blocks = row.operator in ("MBConv", "SepConv")
    (height, width, channels), most = row.output, MOST_LAYERS if blocks else 1
    expansions = {"MBConv": EXPANSIONS, "SepConv": (1,)}.get(row.operator, (None,))
    checks = {
        f"the operator is Conv, SepConv or MBConv, not {row.operator}": row.operator == "Conv" or blocks,
        f"the expansion of MBConv is 1 to 10, of SepConv 1, of Conv -; not {row.expansion}": row.expansion
        in expansions,
        f"the kernel is 1, 3, 5 or 7, not {row.kernel}": row.kernel in KERNELS,
        f"se is -, or {SE} of a block, not {row.se}": row.se is None or (blocks and row.se == SE),
        f"the output is square, not {height}x{width}": height == width,
        f"the output is as large as the input, {side}, or half, not {height}": height in (side, -(-side // 2)),
        f"the channels are 1 to {MOST_CHANNELS}, not {channels}": 1 <= channels <= MOST_CHANNELS,
        f"the layers are 1 to {MOST_LAYERS}, of a Conv 1, not {row.layers}": 1 <= row.layers <= most,
    }
    return next((reason for reason, right in checks.items() if not right), "")


VARIANTS = {
    "searched_mobile": Variant(SearchedMobile, {}),
    "searched_mobile_tiny": Variant(SearchedMobile, {"table": TINY, "image": 32, "dropout": 0.0}),
}

# Deviations: the running statistics of batch normalisation move by a tenth a step, MnasNet's by a hundredth.
# searched_mobile_tiny is ours, for tests.
