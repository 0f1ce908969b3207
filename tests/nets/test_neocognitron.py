"""The Neocognitron's cells by hand, its rule of learning, and its experiment: shifted digits, told apart."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.anatomy.summary import parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.neocognitron import ROWS, CLayer, Neocognitron, SLayer

# The digits 0 to 4, drawn one pixel wide, 10 rows of 8 or 9.
DIGITS = """
    ...XX...  ...X....  .XXXXX..  .XXXXX..  .....X..
    ..X..X..  ..XX....  X.....X.  X.....X.  ....XX..
    .X....X.  .X.X....  ......X.  ......X.  ...X.X..
    .X....X.  ...X....  ......X.  ......X.  ..X..X..
    .X....X.  ...X....  .....X..  ..XXXX..  .X...X..
    .X....X.  ...X....  ....X...  ......X.  X....X..
    .X....X.  ...X....  ...X....  ......X.  XXXXXXXX
    .X....X.  ...X....  ..X.....  ......X.  .....X..
    ..X..X..  ...X....  .X......  X.....X.  .....X..
    ...XX...  .XXXXX..  XXXXXXX.  .XXXXX..  .....X..
"""
INK = [[[float(x == "X") for x in word] for word in line.split()] for line in DIGITS.splitlines() if line.strip()]
FIVE = range(5)


def drawn(digit: int, down: int = 0, right: int = 0) -> Tensor:
    """The digit on 16 x 16, so many pixels off the middle."""
    image = torch.zeros(1, 16, 16)
    image[0, 3 + down : 13 + down, 4 + right : 12 + right] = torch.tensor([row[digit] for row in INK])
    return image


@pytest.fixture(scope="module")
def trained() -> Neocognitron:
    """Twenty presentations of each digit, shifted by a pixel at most."""
    torch.manual_seed(0)
    net = create("neocognitron")
    assert isinstance(net, Neocognitron)
    for _ in range(20):
        for digit in FIVE:
            net.learn(drawn(digit, *torch.randint(-1, 2, (2,)).tolist()))
    return net


def s_layer(planes: int = 1, below: int = 1, row: int = 4) -> SLayer:
    """A layer of S-cells as US3: r 1.5, q 16, 5 x 5 without padding, columns of 2 x 2; its weights are zero."""
    layer = SLayer(ROWS[row], planes, below, lowest=False)
    layer.a.zero_()
    return layer


def test_sizes_and_counts_are_the_papers() -> None:
    net = create("neocognitron")
    assert parameters(net) == 24 * 25 + 2 * 24 * 24 * 25 + 3 * 24 == 29_472
    maps = net.maps(torch.zeros(1, 1, 16, 16))  # type: ignore[operator]
    assert [tuple(one.shape[1:]) for one in maps.values()] == [(row.planes, row.size, row.size) for row in ROWS]
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_an_s_cell_by_hand() -> None:
    layer = s_layer(below=2)
    torch.manual_seed(1)
    a, x = torch.rand(1, 2, 5, 5), torch.rand(1, 2, 5, 5)
    layer.a.copy_(a)
    layer.b.fill_(0.7)
    excited = sum(float(a[0, k, y, z] * x[0, k, y, z]) for k in range(2) for y in range(5) for z in range(5))
    squares = sum(float(layer.c[0, k, y, z] * x[0, k, y, z] ** 2) for k in range(2) for y in range(5) for z in range(5))
    v = math.sqrt(squares)
    assert float(layer.c.sum()) == pytest.approx(1) and float(layer.inhibition(x)) == pytest.approx(v)
    expected = 1.5 * max(0.0, (1 + excited) / (1 + 3 / 2.5 * 0.7 * v) - 1)
    assert expected > 0 and float(layer(x)) == pytest.approx(expected)
    layer.b.fill_(1000.0)
    assert float(layer(x)) == 0


def test_every_plane_below_counts() -> None:
    torch.manual_seed(2)
    layer, x = s_layer(below=3), torch.rand(1, 3, 5, 5)
    layer.a.fill_(0.1)
    apart = [layer(x * (torch.arange(3) == k)[:, None, None]) for k in range(3)]
    torch.testing.assert_close(layer(x), sum(apart))  # b is zero, so the cell is linear


def test_a_c_cell_by_hand() -> None:
    layer = CLayer(ROWS[-1])  # 2 x 2: all distances are equal
    x = torch.tensor([[[[0.0, 0.5], [0.0, 0.0]], [[0.1, 0.1], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    d = 0.9 ** math.sqrt(0.5)
    sums = [0.5 * d, 0.2 * d, 0.0]
    v = sum(sums) / 3
    ratios = [max(0.0, (1 + one) / (1 + v) - 1) for one in sums]
    expected = [ratio / (0.5 + ratio) for ratio in ratios]
    assert expected[0] > 0 == expected[1] == expected[2]  # the weaker ones are inhibited by the mean of all
    assert layer(x).flatten().tolist() == pytest.approx(expected)


def test_weights_of_inhibition_and_blur_fall_with_the_distance() -> None:
    net: Any = create("neocognitron")
    for weights in (net.us2.c[0, 0], net.uc1.d):
        middle, beside, corner = weights[2, 2], weights[2, 3], weights[0, 0]
        assert middle > beside > corner > 0
    assert torch.equal(net.us1.a, create("neocognitron").us1.a)  # type: ignore[union-attr]  # nothing is random
    assert (net.us1.a >= 0).all() and not net.us1.b.any()
    assert len(net.us1.a.flatten(1).unique(dim=0)) == 24


def test_one_reinforcement_makes_the_stimulus_the_best_of_all() -> None:
    torch.manual_seed(3)
    layer = s_layer()
    layer.a.fill_(0.01)
    stimulus = (torch.rand(1, 1, 5, 5) > 0.5).float()
    before = layer(stimulus)
    layer.reinforce(stimulus)
    learned = layer(stimulus)
    assert learned > before
    layer.a.sub_(0.01)
    learned = layer(stimulus)
    for _ in range(200):
        other = torch.rand(1, 1, 5, 5)
        other *= layer.inhibition(stimulus) / layer.inhibition(other)
        assert layer(other) < learned


@pytest.mark.parametrize("r", [0.5, 1.5, 4.0, 20.0])
def test_r_is_how_alike_a_stimulus_must_be(r: float) -> None:
    torch.manual_seed(4)
    layer = s_layer()
    layer.r = r
    stimulus = torch.rand(1, 1, 5, 5)
    layer.a.copy_(1e6 * layer.c * stimulus)
    layer.b.fill_(1e6 / 2 * float(layer.inhibition(stimulus)))
    for mix in torch.linspace(0, 1, 21):
        other = (1 - mix) * stimulus + mix * torch.rand(1, 1, 5, 5)
        alike = (layer.c * stimulus * other).sum() / (layer.inhibition(stimulus) * layer.inhibition(other))
        if abs(float(alike) - r / (1 + r)) > 1e-4:
            assert bool(layer(other) > 0) == bool(alike > r / (1 + r))


def test_one_cell_of_a_plane_learns_at_most_and_one_of_a_column() -> None:
    layer = s_layer(planes=3)
    layer.a[0, 0, 2, 2], layer.a[1, 0, 2, 2] = 1.0, 0.5  # plane 2 responds to nothing
    x = torch.zeros(1, 1, 8, 8)
    assert layer.representatives(x) == []
    x[0, 0, 2, 2], x[0, 0, 5, 5] = 1.0, 2.0  # cells at (0, 0) and (3, 3) of 4 x 4
    assert layer.representatives(x) == [(0, 3, 3)]  # (0, 0) is plane 0's, too; plane 1 is weaker wherever it responds
    before = layer.a.clone()
    layer.reinforce(x)
    assert torch.equal(layer.a[1:], before[1:]) and not layer.b[1:].any()
    torch.testing.assert_close(layer.a[0, 0] - before[0, 0], 16 * layer.c[0, 0] * x[0, 0, 3:, 3:])
    assert float(layer.b[0]) == pytest.approx(8 * float(layer.inhibition(x)[0, 0, 3, 3]))


def test_a_shifted_image_shifts_the_lowest_responses(trained: Neocognitron) -> None:
    maps = [trained.maps(drawn(2, shift, shift)[None])["us1"] for shift in (0, 2)]
    assert maps[0].any()
    # A shifted image has the same pixels in the same order, but sums of other columns of a register.
    torch.testing.assert_close(maps[1][..., 2:, 2:], maps[0][..., :-2, :-2])


def test_each_digit_has_a_cell_of_its_own(trained: Neocognitron) -> None:
    responses = trained(torch.stack([drawn(digit) for digit in FIVE])).flatten(1)
    assert (responses > 0).sum(1).tolist() == [1] * 5
    assert len(set(responses.argmax(1).tolist())) == 5


def test_shifts_of_two_pixels_change_no_winner(trained: Neocognitron) -> None:
    winners = trained(torch.stack([drawn(digit) for digit in FIVE])).flatten(1).argmax(1)
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    kept = 0
    for digit in FIVE:
        responses = trained(torch.stack([drawn(digit, *shift) for shift in shifts])).flatten(1)
        kept += int(((responses.argmax(1) == winners[digit]) & (responses.amax(1) > 0)).sum())
    assert kept / (5 * len(shifts)) >= 0.95


def test_layers_can_learn_one_after_another() -> None:
    net: Any = create("neocognitron")
    start = {name: value.clone() for name, value in net.state_dict().items()}
    net.learn(drawn(3), layers=(2,))
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, start[name])}
    assert changed == {"us2.a", "us2.b"}


def test_without_learning_digits_are_not_told_apart() -> None:
    responses = create("neocognitron")(torch.stack([drawn(digit) for digit in FIVE])).flatten(1)
    assert len(set(responses.argmax(1).tolist())) < 5 or int((responses > 0).sum(1).max()) > 1


def test_wrong_images_and_planes_are_refused() -> None:
    with pytest.raises(RequestError, match="needs images of at least 16 x 16 pixels, not 12 x 12"):
        create("neocognitron").learn(torch.zeros(1, 12, 12))  # type: ignore[operator]
    with pytest.raises(RequestError, match="one plane at least, not 0"):
        create("neocognitron", options={"planes": 0})
    with pytest.raises(RequestError, match="neocognitron has no classes: it is of the kind self-organising"):
        create("neocognitron", classes=5)
    assert F.relu(create("neocognitron")(torch.zeros(1, 1, 20, 20))).shape == (1, 24, 2, 2)
