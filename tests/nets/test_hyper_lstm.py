"""LSTM cells against torch's, HyperLSTM against LSTM, the counts of Table 3, and character models that learn."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from striate.anatomy.summary import madds
from striate.errors import RequestError
from striate.layers.lstm import LstmCell, Recurrent
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.hyper_lstm import ROWS, HyperLstmCell, bits_per_symbol

COUNTS = {
    "lstm_ptb": 4_254_050,
    "ln_lstm_ptb": 4_264_050,
    "hyper_lstm_ptb": 4_911_874,
    "ln_hyper_lstm_ptb": 4_923_154,
    "ln_hyper_lstm16_ptb": 5_085_682,
    "ln_hyper_lstm_2_ptb": 14_407_714,
    "hyper_lstm_enwik8": 18_708_213,
    "ln_hyper_lstm_enwik8": 18_728_773,
    "ln_hyper_large_enwik8": 26_541_773,
}


def drawn(cell: Any) -> Any:
    """The cell with biases and gains other than at the start."""
    for name, parameter in cell.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return cell


def run(cell: nn.Module, x: Tensor) -> Tensor:
    outputs: Tensor = Recurrent(cell)(x)[0]
    return outputs


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_those_of_the_equations(name: str) -> None:
    assert entry(name).parameters == COUNTS[name]


def test_counts_are_the_papers_to_its_rounding_but_one() -> None:
    for row in ROWS:
        if row.millions is not None:
            exact = entry(f"{row.model}_{row.data}").parameters / 1e6
            off = abs(exact - row.millions)
            assert (off <= 0.005) == (row.model != "ln_hyper_lstm16"), row.model


def test_the_multiply_adds_of_a_step_are_its_weights() -> None:
    with torch.device("meta"):
        net: Any = create("hyper_lstm_ptb")
    matrices = sum(one.numel() for name, one in net.named_parameters() if "bias" not in name)
    assert madds(net, (1, 1)) == entry("hyper_lstm_ptb").madds == matrices
    assert madds(net, (1, 5)) == 5 * matrices


def test_without_normalisation_the_cell_is_torchs() -> None:
    torch.manual_seed(0)
    cell, theirs = drawn(LstmCell(5, 7)), nn.LSTM(5, 7, batch_first=True)
    order = (0, 2, 1, 3)  # torch has input, forget, new value, output
    for mine, name in ((cell.from_input.weight, "weight_ih_l0"), (cell.from_output.weight, "weight_hh_l0")):
        theirs.get_parameter(name).data = torch.cat([mine.detach().chunk(4)[place] for place in order])
    bias = cell.bias.detach().chunk(4)
    theirs.get_parameter("bias_ih_l0").data = torch.cat([bias[0], bias[2] + 1, bias[1], bias[3]])
    theirs.get_parameter("bias_hh_l0").data.zero_()
    x = torch.randn(3, 9, 5)
    torch.testing.assert_close(run(cell, x), theirs(x)[0])


def test_each_gate_and_the_read_memory_are_normalised_by_themselves() -> None:
    torch.manual_seed(1)
    cell = drawn(LstmCell(5, 7, norm=True))
    x, h, c = torch.randn(3, 5), torch.randn(3, 7), torch.randn(3, 7)

    def normed(values: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        centred = values - values.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-3).sqrt() * gain + bias

    raw = cell.from_input(x) + cell.from_output(h) + cell.bias
    gates = [normed(raw[:, 7 * k : 7 * k + 7], cell.gate_norm.weight[k], cell.gate_norm.bias[k]) for k in range(4)]
    i, g, f, o = gates
    memory = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
    output = torch.sigmoid(o) * torch.tanh(normed(memory, cell.memory_norm.weight, cell.memory_norm.bias))
    for found, expected in zip(cell(x, (h, c)), (output, memory), strict=True):
        torch.testing.assert_close(found, expected)


def test_with_open_gates_the_memory_is_a_residual_network() -> None:
    torch.manual_seed(7)
    cell = LstmCell(5, 7)
    cell.bias.data.view(4, 7)[[0, 2]] = 100.0  # input and forget gates are 1: the connection through time has weight 1
    x, state = torch.randn(2, 6, 5), cell.start(torch.zeros(2, 5))
    total = torch.zeros(2, 7)
    for step in x.unbind(1):
        block = torch.tanh(cell.from_input(step).chunk(4, 1)[1] + cell.from_output(state[0]).chunk(4, 1)[1])
        total = total + block  # y = x + F(x), the same F at each depth
        state = cell(step, state)
        torch.testing.assert_close(state[1], total)


@pytest.mark.parametrize("norm", [False, True])
def test_with_scalings_of_one_it_is_the_lstm(norm: bool) -> None:
    torch.manual_seed(2)
    hyper, plain = drawn(HyperLstmCell(5, 7, 6, 3, norm=norm)), LstmCell(5, 7, norm=norm)
    plain.load_state_dict({key: value for key, value in hyper.state_dict().items() if key in plain.state_dict()})
    x = torch.randn(3, 9, 5)
    assert not torch.allclose(run(hyper, x), run(plain, x))
    for scaling in (hyper.scale_input, hyper.scale_output):
        nn.init.zeros_(scaling.embed.weight)
        nn.init.ones_(scaling.embed.bias)
        nn.init.constant_(scaling.weight, 1 / 3)
    torch.testing.assert_close(run(hyper, x), run(plain, x))


def test_the_hyper_cell_scales_products_and_shifts_them() -> None:
    torch.manual_seed(3)
    cell = drawn(HyperLstmCell(5, 7, 6, 3))
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, (h, c, a, b) = torch.randn(2, 5), (torch.randn(2, n) for n in (7, 7, 6, 6))
    said, memory = cell.hyper(torch.cat([x, h], 1), (a, b))

    def scaling(part: Any, gate: int) -> Tensor:
        z = part.embed(said)[:, 3 * gate : 3 * gate + 3]
        return z @ part.weight[gate]

    rows = slice(14, 21)  # the third gate
    scaled = cell.from_input.weight[rows][None] * scaling(cell.scale_input, 2)[:, :, None]  # the rows of the weights
    shifted = scaling(cell.shift, 2) + cell.bias[rows]
    f = torch.einsum("nui,ni->nu", scaled, x) + scaling(cell.scale_output, 2) * cell.from_output(h)[:, rows] + shifted
    seen: list[Tensor] = []
    cell.gate_norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    after = cell(x, (h, c, a, b))
    torch.testing.assert_close(seen[0][:, rows], f)
    assert torch.equal(after[2], said) and torch.equal(after[3], memory)


def test_weights_begin_as_in_the_paper() -> None:
    torch.manual_seed(4)
    net: Any = create("hyper_lstm_ptb", options={"units": 40, "hyper": 12})
    cell = net.layer1.cell
    for scaling in (cell.scale_input, cell.scale_output):
        torch.testing.assert_close(scaling(torch.randn(2, 12)), torch.full((2, 160), 0.1))
    assert not cell.shift(torch.randn(2, 12)).any()
    for gate in cell.from_output.weight.detach().chunk(4):
        torch.testing.assert_close(gate @ gate.T, torch.eye(40), atol=1e-5, rtol=0)
    bound = math.sqrt(6 / (50 + 160))
    assert float(cell.from_input.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    assert not cell.bias.any()


def test_only_new_values_are_dropped() -> None:
    torch.manual_seed(5)
    cell = LstmCell(5, 400, dropout=0.1)
    x, h, c = torch.randn(1, 5), torch.randn(1, 400), torch.ones(1, 400)
    kept = cell.eval()(x, (h, c))[1]
    without = torch.sigmoid(cell.from_input(x).chunk(4, 1)[2] + cell.from_output(h).chunk(4, 1)[2] + 1)
    dropped = cell.train()(x, (h, c))[1]
    lost = torch.isclose(dropped, without)  # the memory itself remains
    assert 0.05 < float(lost.float().mean()) < 0.15
    torch.testing.assert_close(dropped[~lost] - without[~lost], (kept - without)[~lost] / 0.9)


def test_symbols_are_checked() -> None:
    net: Any = create("lstm_tiny")
    with pytest.raises(RequestError, match="lstm_tiny has the symbols 0 to 11"):
        net(torch.tensor([[3, 12]]))
    with pytest.raises(RequestError, match=r"takes symbols \[N, T\] of int64, not float32 \[1, 4\]"):
        net(torch.zeros(1, 4))
    with pytest.raises(RequestError, match="are at least 1"):
        create("lstm_tiny", options={"units": 0})


TEXT = "striate reads stripes; the rest is rest. "


@pytest.mark.parametrize("name", ["hyper_lstm_tiny", "lstm_tiny"])
def test_a_character_model_learns_a_text(name: str) -> None:
    """The paper's training, Adam and clipped gradients, with the states carried on; at ten times its rate."""
    torch.manual_seed(6)
    letters = sorted(set(TEXT))
    symbols = torch.tensor([[letters.index(letter) for letter in TEXT * 7]])
    net: Any = create(name, classes=len(letters), in_channels=len(letters), options={"layers": 1})
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    bits, state = [], None
    for step in range(60):
        part = symbols[:, (step % 6) * 41 : (step % 6) * 41 + 42]
        logits, state = net.run(part[:, :-1], state)
        loss = bits_per_symbol(logits, part[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        state = tuple(tuple(one.detach() for one in layer) for layer in state)
        bits.append(float(loss.detach()))
    assert bits[0] > 3.5 and bits[-1] < 1.5
    with torch.no_grad():
        guessed = net.eval()(symbols[:, :82]).argmax(2)
    assert float((guessed == symbols[:, 1:83]).float().mean()) > 0.7
