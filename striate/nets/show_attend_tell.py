"""Show, Attend and Tell: Neural Image Caption Generation with Visual Attention.

Kelvin Xu, Jimmy Ba, Ryan Kiros, Kyunghyun Cho, Aaron Courville, Ruslan Salakhutdinov, Richard Zemel, Yoshua Bengio,
ICML 2015. arXiv:1502.03044: before each word the network looks at places of the map; the soft, deterministic attention.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.lstm import LstmCell
from striate.nets.base import Variant
from striate.nets.efficientnet_lite import add_trunk
from striate.nets.kinds import Captioner, WordDecoder
from striate.nets.nic import check_decoder, start_decoder
from striate.tables import table

# The paper's scores of soft attention, its Table 1.
SCORES = """
    data       bleu1  bleu2  bleu3  bleu4  meteor
    flickr8k   67     44.8   29.9   19.5   18.93
    flickr30k  66.7   43.4   28.8   19.1   18.49
    coco       70.7   49.2   34.4   24.3   23.90
"""


class Row(NamedTuple):
    data: str
    bleu1: float
    bleu2: float
    bleu3: float
    bleu4: float
    meteor: float


ROWS = table(Row, SCORES)


class AttentionDecoder(WordDecoder):
    """An LSTM that sees, with each word, the mean of the places it attends to.

    The weight of place i is softmax(v . tanh(A a_i + H h)), the mean is multiplied by a gate sigmoid(G h). States are
    (h, c, the places [N, places, size], A times them).
    """

    attends = True

    def __init__(self, channels: int, classes: int, *, units: int, embedding: int, dropout: float, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.standardise = nn.BatchNorm2d(channels, affine=False)
        self.places = nn.Linear(channels, embedding)
        self.words = nn.Embedding(classes, embedding)
        self.first_h, self.first_c = nn.Linear(embedding, units), nn.Linear(embedding, units)
        self.of_place = nn.Linear(embedding, embedding, bias=False)
        self.of_state = nn.Linear(units, embedding)
        self.weight = nn.Linear(embedding, 1, bias=False)
        self.gate = nn.Linear(units, embedding)
        self.cell = LstmCell(2 * embedding, units)
        self.dropout = nn.Dropout(dropout)
        self.from_h = nn.Linear(units, embedding)
        self.from_seen = nn.Linear(embedding, embedding, bias=False)
        self.classifier = nn.Linear(embedding, classes)
        start_decoder(self.words, self.cell)

    def start(self, maps: Tensor) -> tuple[Tensor, ...]:
        """The state that the mean of the places gives."""
        places = self.dropout(self.places(self.standardise(maps).flatten(2).transpose(1, 2)))
        mean = places.mean(1)
        return self.first_h(mean).tanh(), self.first_c(mean).tanh(), places, self.of_place(places)

    def looks(self, state: tuple[Tensor, ...]) -> Tensor:
        """The weights [N, places] of the places in the next step, which sum to one."""
        h, _, _, known = state
        share: Tensor = self.weight(torch.tanh(known + self.of_state(h).unsqueeze(1))).squeeze(2).softmax(1)
        return share

    def step(self, words: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits after a word, from the word, the LSTM and what was attended to; and the state after it."""
        h, c, places, known = state
        seen = self.gate(h).sigmoid() * (self.looks(state).unsqueeze(2) * places).sum(1)
        word = self.dropout(self.words(words))
        h, c = self.cell(torch.cat([word, seen], 1), (h, c))
        said = torch.tanh(word + self.from_h(self.dropout(h)) + self.from_seen(seen))
        return self.classifier(self.dropout(said)), (h, c, places, known)


class ShowAttendTell(Captioner):
    """EfficientNet-Lite up to its last map, and an LSTM that attends to its places before each word.

    Options as of NIC. Raises RequestError for sizes below 1.
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
        embedding: int = 256,
        dropout: float = 0.5,
        limit: int = 20,
        beam: int = 3,
    ) -> None:
        check_decoder(units=units, embedding=embedding, dropout=dropout, limit=limit, beam=beam)
        super().__init__()
        self.in_channels, self.beam = in_channels, beam
        channels = add_trunk(self, width, depth)[self.stages[-1]]
        self.head = AttentionDecoder(
            channels, classes, units=units, embedding=embedding, dropout=dropout, limit=limit
        )  # fmt: skip


VARIANTS = {
    "show_attend_tell_lite0": Variant(ShowAttendTell, {"units": 256}),
    "show_attend_tell_lite_tiny": Variant(
        ShowAttendTell,
        {"width": 0.25, "depth": 0.5, "units": 16, "embedding": 12, "limit": 6, "beam": 2, "dropout": 0.0},
    ),
}

# Deviations: the paper's map is VGG-19's of 14 x 14 places and 512 channels; here it is EfficientNet-Lite's last of 7 x
# 7, standardised by batch normalisation and projected to the size of the words. The loss has no term for attending to
# every place equally (doubly stochastic attention), and hard attention is left out. The named network has 256 units,
# for training in minutes on a processor. The word that ends a caption also begins it.
