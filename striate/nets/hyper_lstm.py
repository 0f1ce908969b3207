"""HyperNetworks, dynamic ones: an LSTM whose weights another LSTM scales at each step.

David Ha, Andrew Dai, Quoc V. Le, 2016. arXiv:1609.09106; sections 3.2 and 4.3, appendix A.2, Table 3, and the first
author's code (hardmaru/supercell). The static ones are in `hypernetworks`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.lstm import GATES, LstmCell, Recurrent, State
from striate.nets.base import Variant
from striate.nets.kinds import SequenceModel
from striate.nets.options import check_dropout
from striate.tables import table

# Character models. `hyper` are the units of the LSTM that scales, `embedding` the numbers that it says for each gate.
# Parameters in millions and bits per character are Table 3's for Penn Treebank; those of enwik8 are not at hand.
MODELS = """
    model           data    symbols  units  hyper  embedding  layers  norm  millions  bits
    lstm            ptb     50       1000   -      -          1       no    4.25      1.312
    ln_lstm         ptb     50       1000   -      -          1       yes   4.26      1.267
    hyper_lstm      ptb     50       1000   128    4          1       no    4.91      1.265
    ln_hyper_lstm   ptb     50       1000   128    4          1       yes   4.92      1.250
    ln_hyper_lstm16 ptb     50       1000   128    16         1       yes   5.06      1.233
    ln_hyper_lstm_2 ptb     50       1000   128    16         2       yes   14.41     1.219
    hyper_lstm      enwik8  205      1800   256    64         1       no    -         -
    ln_hyper_lstm   enwik8  205      1800   256    64         1       yes   -         -
    ln_hyper_large  enwik8  205      2048   512    64         1       yes   -         -
"""


class Row(NamedTuple):
    model: str
    data: str
    symbols: int
    units: int
    hyper: int | None
    embedding: int | None
    layers: int
    norm: bool
    millions: float | None
    bits: float | None


ROWS = table(Row, MODELS)


class GateScaling(nn.Module):
    """What the hyper cell says [N, hyper units] -> a number for each unit of each gate [N, 4 units].

    In between is an embedding of a few numbers for each gate. `bias`: of the embedding. Source: appendix A.2.
    """

    def __init__(self, hyper: int, embedding: int, units: int, *, bias: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(hyper, GATES * embedding, bias=bias)
        self.weight = nn.Parameter(torch.zeros(GATES, embedding, units))

    def forward(self, said: Tensor) -> Tensor:
        embedded = torch.unflatten(self.embed(said), 1, self.weight.shape[:2])
        return torch.einsum("nge,geu->ngu", embedded, self.weight).flatten(1)

    def multiply_adds(self, output: Tensor) -> int:
        """Of the second layer; the first is a linear layer."""
        return output.numel() * self.weight.shape[1]


class HyperLstmCell(LstmCell):
    """An LSTM whose gates are d_x * (W_x x) + d_h * (W_h h) + d_b + b, where * is by unit and the hyper cell gives d.

    The hyper cell is a smaller LSTM that sees x and h. Scaling the products is the same as scaling the rows of the
    weights. States are (h, c, the hyper cell's h, its c). Source: appendix A.2.
    """

    def __init__(
        self, inputs: int, units: int, hyper: int, embedding: int, *, norm: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__(inputs, units, norm=norm, dropout=dropout)
        self.hyper = LstmCell(inputs + units, hyper, norm=norm)
        self.scale_input = GateScaling(hyper, embedding, units, bias=True)
        self.scale_output = GateScaling(hyper, embedding, units, bias=True)
        self.shift = GateScaling(hyper, embedding, units, bias=False)

    def start(self, x: Tensor) -> State:
        """Zeros, for both cells."""
        return *super().start(x), *self.hyper.start(x)

    def forward(self, x: Tensor, state: State) -> State:
        h, c, *hyper = state
        said, memory = self.hyper(torch.cat([x, h], 1), tuple(hyper))
        gates = self.scale_input(said) * self.from_input(x) + self.scale_output(said) * self.from_output(h)
        return *self.step(gates + self.shift(said) + self.bias, c), said, memory


class CharacterModel(SequenceModel):
    """Layers of LSTM or HyperLSTM cells over one-hot symbols, and logits of the next symbol.

    `in_channels` is the number of symbols that are read, `classes` of those that are predicted. `hyper` and
    `embedding`: see the table; a `hyper` of 0 makes plain LSTM cells. `dropout`: of new values, at each step.
    Raises RequestError for sizes below 1 and a dropout outside [0, 1).
    """

    table = MODELS

    def __init__(
        self,
        *,
        classes: int = 50,
        in_channels: int = 50,
        units: int = 1000,
        hyper: int = 128,
        embedding: int = 4,
        layers: int = 1,
        norm: bool = False,
        dropout: float = 0.1,
    ) -> None:
        check_dropout(dropout)
        if units < 1 or layers < 1 or hyper < 0 or (hyper and embedding < 1):
            raise RequestError("units, layers and embedding are at least 1, and hyper at least 0")
        super().__init__()
        self.in_channels = in_channels
        self.register_buffer("codes", torch.eye(in_channels), persistent=False)
        inputs = in_channels
        for number in range(1, layers + 1):
            if hyper:
                cell: LstmCell = HyperLstmCell(inputs, units, hyper, embedding, norm=norm, dropout=dropout)
            else:
                cell = LstmCell(inputs, units, norm=norm, dropout=dropout)
            self.add_module(f"layer{number}", Recurrent(cell))
            inputs = units
        self.stages = tuple(f"layer{number}" for number in range(1, layers + 1))
        self.head = nn.Linear(units, classes)
        _start(self)

    codes: Tensor

    def run(self, symbols: Tensor, state: tuple[State, ...] | None = None) -> tuple[Tensor, tuple[State, ...]]:
        """Symbols [N, T] and the layers' states -> logits [N, T, classes] and the states after the last symbol."""
        self.check(symbols)
        x = F.embedding(symbols, self.codes)
        after: list[State] = []
        for place, stage in enumerate(self.stages):
            x, last = getattr(self, stage)(x, None if state is None else state[place])
            after.append(last)
        return self.head(x), tuple(after)


def bits_per_symbol(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy in bits: logits [N, T, classes] against symbols [N, T]."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) / math.log(2)


@torch.no_grad()
def _start(net: nn.Module) -> None:
    """Weights of the output orthogonal by gate, of inputs uniform by Glorot; all scalings begin at 0.1, shifts at 0."""
    for module in net.modules():
        if isinstance(module, LstmCell):
            nn.init.xavier_uniform_(module.from_input.weight)
            for gate in module.from_output.weight.chunk(GATES):
                nn.init.orthogonal_(gate)
        if isinstance(module, HyperLstmCell):
            for scaling in (module.scale_input, module.scale_output):
                scaling.embed.weight.zero_()
                scaling.embed.bias.fill_(1)
                scaling.weight.fill_(0.1 / scaling.weight.shape[1])
            module.shift.embed.weight.normal_(0, 0.01)
    head = net.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.xavier_uniform_(head.weight)
    head.bias.zero_()


def _options(row: Row) -> dict[str, object]:
    scaled = {"hyper": row.hyper or 0} | ({"embedding": row.embedding} if row.embedding else {})
    return {"units": row.units, **scaled, "layers": row.layers, "norm": row.norm}


VARIANTS = {
    **{f"{row.model}_{row.data}": Variant(CharacterModel, _options(row)) for row in ROWS},
    "hyper_lstm_tiny": Variant(CharacterModel, {"units": 24, "hyper": 8, "embedding": 2, "layers": 2, "norm": True}),
    "lstm_tiny": Variant(CharacterModel, {"units": 24, "hyper": 0}),
}

# Deviations: the paper has the hyper cell's output of the step before in equation 11; as in the code, it is of this
# step. Cells with layer normalisation keep their biases, as in the paper; the code leaves out the hyper cell's, 512
# numbers. For ln_hyper_lstm16_ptb the paper prints 5.06 million, where its own equations give 5,085,682; the row with
# two layers and the same embedding agrees. Multiply-adds are those of one step, one-hot symbols counted as vectors.
# Training (section 4.3): Adam at 0.001, gradients clipped to 1, batches of 128 sequences of 100 symbols, whose states
# are carried on: striate.training.characters, and `striate reproduce text`. The tiny nets are ours.
