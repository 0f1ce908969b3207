"""The cognitron's cells by hand, its rule of learning, and its simulation: responses grow, are few and differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from striate.anatomy.summary import parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.cognitron import ROWS, Cognitron, CognitronLayer

# The patterns 0 to 4 on 12 x 12.
PATTERNS = """
    ....XXXX....  ......X.....  ............  ............  ............
    ...X....X...  .....XX.....  ..XXXXX.....  XXXXXXXXX...  ............
    ..X......X..  ....X.X.....  .X.....X....  ........X...  .......X....
    .X........X.  ......X.....  ........X...  .......X....  ......XX....
    .X........X.  ......X.....  ........X...  ......X.....  .....X.X....
    .X........X.  ......X.....  .......X....  .....XXX....  ....X..X....
    .X........X.  ......X.....  ......X.....  ........X...  ...X...X....
    .X........X.  ......X.....  .....X......  .........X..  ..X....X....
    .X........X.  ......X.....  ....X.......  .........X..  .XXXXXXXXXX.
    ..X......X..  ......X.....  ...X........  .........X..  .......X....
    ...X....X...  ......X.....  ..XXXXXXXXX.  X.......X...  .......X....
    ....XXXX....  ......X.....  ............  .XXXXXXX....  .......X....
"""
INK = [[[float(x == "X") for x in word] for word in line.split()] for line in PATTERNS.splitlines() if line.strip()]
IMAGES = torch.tensor(INK).permute(1, 0, 2)[:, None]  # [5, 1, 12, 12]


def layer(branches: int = 0) -> CognitronLayer:
    torch.manual_seed(0)
    return CognitronLayer(ROWS[0], (12, 12), branches)


def simulated(branches: int, *, lateral: bool, cycles: int = 20) -> Cognitron:
    torch.manual_seed(0)
    net = create("cognitron", options={"branches": branches})
    assert isinstance(net, Cognitron)
    if not lateral:
        for stage in net.stages:
            net.get_submodule(stage).around.zero_()  # type: ignore[operator]
    for _ in range(cycles):
        for image in IMAGES:
            net.learn(image)
    return net


def alike(responses: Tensor) -> Tensor:
    """The cosines of the angles between the responses to different patterns."""
    unit = responses.flatten(1) / responses.flatten(1).norm(dim=1, keepdim=True)
    return (unit @ unit.T)[torch.ones(5, 5).triu(1).bool()]


def test_counts_are_the_simulations() -> None:
    assert parameters(create("cognitron_direct")) == 3 * 144 * (25 + 1) == 11_232
    assert parameters(create("cognitron")) == 3 * 144 * (2 * 25 + 1) == 22_032
    assert not any(parameter.requires_grad for parameter in create("cognitron").parameters())


def test_a_cell_by_hand() -> None:
    cells = layer()
    torch.manual_seed(1)
    cells.a.copy_(torch.rand_like(cells.a))
    cells.b.copy_(torch.rand_like(cells.b))
    x = torch.rand(2, 1, 12, 12)
    a, window = cells.a[:, 5, 6], x[1, 0, 3:8, 4:9].flatten()  # around the cell (5, 6)
    e, v = float((a * window).sum()), float((cells.c.flatten() * window).sum())
    assert float(cells.c.sum()) == pytest.approx(1)
    h = float(cells.b[5, 6]) * v
    assert float(cells.cells(cells.seen(x))[1, 0, 5, 6]) == pytest.approx(max(0.0, (e - h) / (1 + h)), rel=1e-5)


def test_neighbours_inhibit_by_their_mean() -> None:
    cells = layer()
    cells.a[12] = 1.0  # each cell sees the one below it
    x = torch.zeros(1, 1, 12, 12)
    x[..., 5, 5], x[..., 5, 8], x[..., 5, 9] = 1.0, 0.5, 0.25
    found = cells(x)[0, 0]
    assert float(found[5, 5]) == pytest.approx((1 - 0.5 / 48) / (1 + 0.5 / 48))  # (5, 9) is four columns away
    assert float(found[5, 8]) == pytest.approx((0.5 - 1.25 / 48) / (1 + 1.25 / 48))
    assert float(found[6, 6]) == 0


def test_grown_weights_depend_on_their_ratio_alone() -> None:
    torch.manual_seed(2)
    cells, x = layer(), torch.rand(1, 1, 12, 12)
    cells.a.copy_(1e6 * torch.rand_like(cells.a))
    cells.b.fill_(1e6 * 6)
    seen = cells.seen(x)
    ratio = (cells.a * seen).sum(1) / (cells.b * (cells.c * seen).sum(1))
    torch.testing.assert_close(cells.cells(seen), (ratio - 1).relu()[:, None], rtol=1e-4, atol=1e-4)


def test_at_the_start_what_is_seen_is_learned_with_as_much_inhibition() -> None:
    cells, x = layer(), IMAGES[:1]
    cells.reinforce(x)
    seen = cells.seen(x)[0]
    torch.testing.assert_close(cells.a, 2 * cells.c * seen)
    torch.testing.assert_close(cells.b, 2 * (cells.c * seen).sum(0))


def test_only_the_strongest_of_a_vicinity_learns() -> None:
    cells = layer()
    cells.a[12] = 1.0
    x = torch.zeros(1, 1, 12, 12)
    x[..., 5, 5], x[..., 5, 6], x[..., 5, 9] = 1.0, 0.9, 0.8  # (5, 6) lies in the vicinity of (5, 5)
    before = (cells.a.clone(), cells.b.clone())
    responses, seen = cells(x)[0, 0], cells.seen(x)[0]
    assert responses[5, 6] > 0
    cells.reinforce(x)
    assert torch.equal(cells.a[:, 5, 6], before[0][:, 5, 6]) and cells.b[5, 6] == 0
    for place in ((5, 5), (5, 9)):
        mine = seen[:, place[0], place[1]]
        c = cells.c.flatten()
        torch.testing.assert_close(cells.a[:, place[0], place[1]] - before[0][:, place[0], place[1]], 16 * c * mine)
        growth = 16 * float((c * mine.square()).sum()) / (2 * float((c * mine).sum()))
        assert float(cells.b[place]) == pytest.approx(growth)


def test_a_repeated_stimulus_is_answered_by_one_at_last() -> None:
    cells, x = layer(), IMAGES[:1]
    strongest = []
    for _ in range(40):
        cells.reinforce(x)
        strongest.append(float(cells.cells(cells.seen(x)).max()))
    assert strongest == sorted(strongest)
    assert strongest[0] < 0.5 and strongest[1] < 0.8 and 0.97 < strongest[-1] < 1


@pytest.mark.parametrize("branches", [0, 1])
def test_after_twenty_cycles_responses_are_strong_few_and_different(branches: int) -> None:
    first = simulated(branches, lateral=True, cycles=1).maps(IMAGES)
    net, uninhibited = (simulated(branches, lateral=lateral) for lateral in (True, False))
    maps, others = net.maps(IMAGES), uninhibited.maps(IMAGES)
    assert all(0.75 < float(responses.max()) < 1.25 for responses in maps.values())
    assert float(first["u3"].max()) < 0.1
    few, many = ((each["u3"] > 0).flatten(1).sum(1) for each in (maps, others))
    assert int(few.min()) > 0 and int(few.max()) <= 26 and (many > 3 * few).all()
    assert alike(maps["u3"]).mean() < alike(IMAGES).mean() / 2
    assert alike(maps["u3"]).max() < alike(IMAGES).max()
    assert branches or alike(maps["u3"]).mean() < alike(others["u3"]).mean()


def test_weights_are_not_shared() -> None:
    net = simulated(0, lateral=True, cycles=3)
    weights = net.get_submodule("u1").get_parameter("a").flatten(1).T
    assert len(weights.unique(dim=0)) > 100


def test_a_second_axon_ends_at_a_random_other_place() -> None:
    net: Any = create("cognitron")
    x = torch.rand(2, 1, 12, 12)
    seen = net.u2.seen(x)
    direct, branched = seen[:, 12], seen[:, 25 + 12]  # what the cells below say, each at its own place
    assert torch.equal(direct, x[:, 0]) and not torch.equal(branched, x[:, 0])
    assert torch.equal(branched.flatten(1), x.flatten(1)[:, net.u2.ends[0]])
    assert sorted(net.u2.ends[0].tolist()) == list(range(144))
    assert "u2.ends" in net.state_dict() and net.u3.ends is not None


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(RequestError, match="made for images of 12 x 12 pixels"):
        create("cognitron")(torch.zeros(1, 1, 16, 16))
    assert create("cognitron", input_size=(8, 9))(torch.zeros(1, 1, 8, 9)).shape == (1, 1, 8, 9)
