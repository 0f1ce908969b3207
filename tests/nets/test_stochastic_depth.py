"""Stochastic depth: the rule of survival, and what a block computes when open, when closed, and in evaluation."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.layers import stochastic_depth as layer
from striate.layers.checkpointing import checkpointed
from striate.layers.shortcut import PooledPadShortcut
from striate.layers.stochastic_depth import StochasticDepth
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.cells import Conv
from striate.nets.stochastic_depth import RESULT_ROWS, StochasticBlock, StochasticDepthResNet, survivals

KNOWN = {
    "stochastic_depth_resnet110": (1_727_962, 252_887_680),
    "stochastic_depth_resnet152": (2_408_474, 252_887_680 + 7 * 14_155_776),
    "stochastic_depth_resnet1202": (19_421_274, 2_829_238_912),
}


def block(survival: float = 0.25, in_channels: int = 4, stride: int = 1) -> StochasticBlock:
    torch.manual_seed(0)
    return StochasticBlock(in_channels, (Conv(3, 8), Conv(3, 8)), stride, survival=survival)


def gates(opened: bool) -> mock._patch[mock.Mock]:
    return mock.patch.object(layer, "_happens", return_value=opened)


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


def test_probabilities_fall_in_a_line() -> None:
    found = list(survivals(54, 0.5))
    assert found[0] == pytest.approx(0.99074, abs=1e-5) and found[-1] == 0.5
    assert sum(found) == pytest.approx(40.25)
    assert list(survivals(4, 0.5)) == [0.875, 0.75, 0.625, 0.5]
    assert list(survivals(3, 0.7, "uniform")) == [0.7] * 3


def test_a_nets_blocks_have_them_in_order() -> None:
    for row in RESULT_ROWS:
        with torch.device("meta"):
            net = StochasticDepthResNet(depth=row.depth, last_survival=row.p_L)
        found = [one.survival for one in net.modules() if isinstance(one, StochasticDepth)]
        assert found == list(survivals(row.L, row.p_L))


def test_about_forty_of_the_54_blocks_are_there() -> None:
    torch.manual_seed(0)
    drawn = sum(layer._happens(chance) for _ in range(3000) for chance in survivals(54, 0.5)) / 3000
    assert drawn == pytest.approx(40.25, abs=0.2)


def test_evaluation_scales_the_branch_and_not_the_identity() -> None:
    made, x = block().eval(), torch.randn(3, 4, 6, 6)
    expected = F.relu(made.shortcut(x) + 0.25 * made.residual.branch(x))
    torch.testing.assert_close(made(x), expected)


def test_an_open_block_is_the_plain_one_in_training() -> None:
    made, x = block(), torch.randn(3, 4, 6, 6)
    with gates(opened=True):
        out = made(x)
    torch.testing.assert_close(out, F.relu(made.shortcut(x) + made.residual.branch(x)))


def test_a_closed_block_is_not_run() -> None:
    made, x = block(), torch.randn(3, 4, 6, 6)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    made.residual.branch.register_forward_pre_hook(lambda *_: pytest.fail("the branch was run"))
    with gates(opened=False):
        out = made(x)
    assert torch.equal(out, F.relu(made.shortcut(x)))
    out.sum().requires_grad_().backward()
    assert all(parameter.grad is None for parameter in made.parameters())
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())


def test_one_draw_is_for_all_images() -> None:
    torch.manual_seed(0)
    made, x = block(0.5, 8).train(), torch.randn(16, 8, 4, 4)
    seen = [torch.equal(made(x), F.relu(x)) for _ in range(200)]
    assert 0.35 < sum(seen) / 200 < 0.65  # closed for all images together, in about half of the calls


def test_the_mean_over_training_is_evaluation() -> None:
    """Before the last ReLU, and with the batch norms' statistics held: E[b] f + id = p f + id."""
    torch.manual_seed(0)
    made, x = block(0.3).train(), torch.randn(2, 4, 6, 6)
    made.residual.branch.eval()
    made.act = nn.Identity()  # type: ignore[assignment]
    with torch.no_grad():
        mean = torch.stack([made(x) for _ in range(4000)]).mean(0)
        residual = made.residual.branch(x)
        expected = made.eval()(x)
    assert float((mean - expected).abs().max() / residual.abs().max()) < 0.03


def test_without_loss_it_is_always_there() -> None:
    made = block(1.0).train()
    with gates(opened=False):
        x = torch.randn(3, 4, 6, 6)
        torch.testing.assert_close(made(x), F.relu(made.shortcut(x) + made.residual.branch(x)))


def test_recomputed_blocks_draw_the_same() -> None:
    made, x = block(0.5), torch.randn(4, 4, 6, 6, requires_grad=True)
    for seed in range(6):
        gradients = []
        for run in (made, lambda y: checkpointed(made, y)):
            torch.manual_seed(seed)
            made.zero_grad()
            run(x).square().sum().backward()
            gradients.append([None if one.grad is None else one.grad.clone() for one in made.parameters()])
        for one, other in zip(*gradients, strict=True):
            assert (one is None) == (other is None) and (one is None or torch.equal(one, other))


@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_the_shortcut_averages_and_appends_zeros(size: tuple[int, int]) -> None:
    x = torch.randn(2, 4, *size)
    y = PooledPadShortcut(4, 10, 2)(x)
    assert y.shape == (2, 10, -(-size[0] // 2), -(-size[1] // 2))
    torch.testing.assert_close(y[:, :4, 0, 0], x[:, :, :2, :2].mean((2, 3)))
    assert not y[:, 4:].any()
    last: Tensor = x[:, :, -1:, -1:] if size == (7, 5) else x[:, :, -2:, -2:]
    torch.testing.assert_close(y[:, :4, -1, -1], last.mean((2, 3)))


def test_maps_and_memory_are_resnets() -> None:
    ours, plain = describe("stochastic_depth_resnet110"), describe("resnet110")
    assert [row.output for row in ours] == [row.output for row in plain]
    # The most that training can need, though almost every pass needs less.
    assert [row.activation_bytes for row in ours] == [row.activation_bytes for row in plain]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 9}, "depth must be 6n \\+ 2, from 8 to 1202"),
        ({"last_survival": 0.0}, "the probability of survival must be above 0 and at most 1, not 0.0"),
        ({"decay": "square"}, "must be 'linear' or 'uniform'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create("stochastic_depth_tiny", options=options)
