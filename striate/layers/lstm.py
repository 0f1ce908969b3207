"""Long short-term memory, with layer normalisation if wanted, and a layer that runs a cell along a sequence."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GATES = 4  # in the order of the weights: input, new value, forget, output
State = tuple[Tensor, ...]  # each [N, units]; the first is the output


class Cell(Protocol):
    """One step: an input [N, inputs] and a state give the next state."""

    def start(self, x: Tensor) -> State:
        """The state before the first input [N, inputs]: zeros."""
        ...

    def __call__(self, x: Tensor, state: State) -> State: ...


class GateNorm(nn.Module):
    """Layer normalisation of each gate by itself: [N, 4 units] -> [N, 4 units]. Source: Ba et al. 2016, 1607.06450."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(GATES, units))
        self.bias = nn.Parameter(torch.zeros(GATES, units))

    def forward(self, x: Tensor) -> Tensor:
        gates = torch.unflatten(x, 1, self.weight.shape)
        return (F.layer_norm(gates, gates.shape[2:], eps=1e-3) * self.weight + self.bias).flatten(1)


class LstmCell(nn.Module):
    """c = sigmoid(f + 1) c + sigmoid(i) dropout(tanh(g)), h = sigmoid(o) tanh(c), where i, g, f and o are linear in x
    and h. States are (h, c).

    `norm`: layer normalisation of i, g, f and o, each by itself, and of c within the last tanh: not of the state.
    `dropout`: of new values only, so that memory is never lost. The bias of 1 comes after the normalisation.
    Source: Hochreiter, Schmidhuber 1997; Semeniuta et al. 2016, arXiv:1603.05118 (dropout).
    """

    def __init__(self, inputs: int, units: int, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.units = units
        self.from_input = nn.Linear(inputs, GATES * units, bias=False)
        self.from_output = nn.Linear(units, GATES * units, bias=False)
        self.bias = nn.Parameter(torch.zeros(GATES * units))
        self.gate_norm = GateNorm(units) if norm else nn.Identity()
        self.memory_norm = nn.LayerNorm(units, eps=1e-3) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def start(self, x: Tensor) -> State:
        """Zeros [N, units], for h and c."""
        return x.new_zeros(x.shape[0], self.units), x.new_zeros(x.shape[0], self.units)

    def forward(self, x: Tensor, state: State) -> State:
        h, c = state
        return self.step(self.from_input(x) + self.from_output(h) + self.bias, c)

    def step(self, gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The next h and c from the gates [N, 4 units] before normalisation, and the present c."""
        i, g, f, o = self.gate_norm(gates).chunk(GATES, 1)
        c = (f + 1).sigmoid() * c + i.sigmoid() * self.dropout(g.tanh())
        return o.sigmoid() * self.memory_norm(c).tanh(), c


class Recurrent(nn.Module):
    """A cell along a sequence, from a state (None: the start).

    Inputs [N, T, inputs] -> outputs [N, T, units], and the state after the last.
    """

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        cell: Cell = self.cell  # type: ignore[assignment]  # a module that keeps the protocol
        state = cell.start(x[:, 0]) if state is None else state
        outputs = []
        for one in x.unbind(1):
            state = cell(one, state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state
