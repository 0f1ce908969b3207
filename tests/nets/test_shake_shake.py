"""Shake-Shake: the mixture of branches and of gradients, the wiring, and ResNeXt's block as a special case."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.layers.checkpointing import checkpointed
from striate.layers.shake import BackwardPass, ForwardPass, ShakeShake
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.cells import Conv
from striate.nets.resnext import AggregatedBlock
from striate.nets.shake_shake import (
    RESULTS,
    ROWS,
    Result,
    ShakeBlock,
    ShakeBottleneck,
    ShakeResNeXt,
    Shaking,
    TwoPathShortcut,
)
from striate.tables import table

# Counted from other builds of the same networks.
KNOWN = {
    "shake_shake_26_2x32d": (2_923_162, 426_689_792),
    "shake_shake_26_2x64d": (11_653_978, 1_685_506_560),
    "shake_shake_26_2x96d": (26_192_922, 3_776_892_672),
    "shake_shake_26_2x112d": (35_640_442, 5_134_799_232),
    "shake_even_29_2x4x64d": (34_529_700, 5_387_358_208),
}


def mixed(forward: ForwardPass = "shake", backward: BackwardPass = "shake", level: str = "image") -> ShakeShake:
    """Two branches that multiply by 1 and by 3: the mixture of ones tells alpha."""
    one, other = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(one.weight, 1.0)
    nn.init.constant_(other.weight, 3.0)
    return ShakeShake(one, other, forward_pass=forward, backward_pass=backward, level=level)  # type: ignore[arg-type]


def shares(layer: ShakeShake, images: int = 6) -> tuple[Tensor, Tensor]:
    """alpha and beta of each image, read off the output and off the gradient that reaches the first branch."""
    seen: list[Tensor] = []
    handle = layer.one.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    out = layer(torch.ones(images, 1, 2, 2, requires_grad=True))
    out.sum().backward()
    handle.remove()
    assert all(bool((image == image[0, 0, 0]).all()) for image in (*out, *seen[0]))
    return (3 - out[:, 0, 0, 0].detach()) / 2, seen[0][:, 0, 0, 0]


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_counts(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]
    if name == "shake_even_29_2x4x64d":
        with torch.device("meta"):
            assert parameters(create(name, classes=10)) == 34_437_450


@pytest.mark.parametrize("forward", get_args(ForwardPass))
@pytest.mark.parametrize("backward", get_args(BackwardPass))
@pytest.mark.parametrize("level", ["image", "batch"])
def test_the_cases_of_table_1(forward: ForwardPass, backward: BackwardPass, level: str) -> None:
    torch.manual_seed(0)
    alpha, beta = shares(mixed(forward, backward, level))
    half = torch.full((6,), 0.5)
    if forward == "even":
        torch.testing.assert_close(alpha, half)
    if backward == "even":
        assert torch.equal(beta, half)
    if backward == "keep":
        torch.testing.assert_close(beta, alpha)
    for drawn in [alpha] * (forward == "shake") + [beta] * (backward == "shake"):
        assert drawn.min() >= 0 and drawn.max() <= 1
        assert len(drawn.unique()) == (6 if level == "image" else 1)
    if forward == backward == "shake":
        assert not torch.allclose(alpha, beta)  # independent draws


def test_every_case_of_the_table_is_one_of_the_options() -> None:
    rows = table(Result, RESULTS)
    assert {row.forward for row in rows} == set(get_args(ForwardPass))
    assert {row.backward for row in rows} == set(get_args(BackwardPass))
    shaken = rows[-1]
    assert (shaken.d32, shaken.d64, shaken.d96) == tuple(
        entry(f"shake_shake_26_2x{d}d").published["error"] for d in (32, 64, 96)
    )


def test_shares_are_uniform() -> None:
    torch.manual_seed(0)
    alpha, beta = shares(mixed(), 4000)
    for drawn in (alpha, beta):
        assert float(drawn.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(drawn.var()) == pytest.approx(1 / 12, abs=0.005)
    assert abs(float(torch.corrcoef(torch.stack([alpha, beta]))[0, 1])) < 0.05


def test_beta_scales_the_gradients_of_the_branches_parameters() -> None:
    torch.manual_seed(0)
    layer = mixed("shake", "even", "batch")
    layer(torch.ones(6, 1, 2, 2)).sum().backward()
    weight = layer.get_submodule("one").weight
    assert isinstance(weight, nn.Parameter) and weight.grad is not None
    assert float(weight.grad) == 0.5 * 24  # half of what the branch alone would get, whatever alpha was


@pytest.mark.parametrize("forward", get_args(ForwardPass))
def test_evaluation_is_half_and_half(forward: ForwardPass) -> None:
    layer = mixed(forward).eval()
    assert torch.equal(layer(torch.ones(3, 1, 2, 2)), torch.full((3, 1, 2, 2), 2.0))


def test_the_mean_over_training_is_evaluation() -> None:
    torch.manual_seed(0)
    shaking = Shaking("shake", "shake", "image")
    block, x = ShakeBlock(4, (Conv(3, 8), Conv(3, 8)), 2, shaking=shaking).train(), torch.randn(2, 4, 6, 6)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        mean = torch.stack([block(x) for _ in range(4000)]).mean(0)
        expected = block.eval()(x)
    assert float((mean - expected).abs().max() / expected.abs().max()) < 0.02


def test_the_second_path_sees_the_map_moved_by_a_pixel() -> None:
    shortcut = TwoPathShortcut(1, 2, 2).eval()
    nn.init.ones_(shortcut.path1.weight)
    nn.init.ones_(shortcut.path2.weight)
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    x[0, 0, 0, 0] = -1
    first, second = shortcut(x)[0] * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(first, torch.tensor([[0.0, 3.0], [9.0, 11.0]]))
    torch.testing.assert_close(second, torch.tensor([[0.0, 0.0], [0.0, 6.0]]))


def test_a_block_rectifies_before_its_branches_and_not_after() -> None:
    torch.manual_seed(0)
    block = ShakeBlock(6, (Conv(3, 6), Conv(3, 6)), 1, shaking=Shaking("even", "even", "image")).eval()
    x = torch.randn(2, 6, 5, 5)
    expected = x.clone()
    for branch in (block.branches.one, block.branches.other):
        _, first, second = branch.children()
        y = F.relu(first.norm(first.conv(F.relu(x))))
        expected = expected + 0.5 * second.norm(second.conv(y))
    torch.testing.assert_close(block(x), expected)


def test_two_equal_branches_are_resnexts_block() -> None:
    torch.manual_seed(0)
    convs = (Conv(1, 8), Conv(3, 8), Conv(1, 12))
    shaken = ShakeBottleneck(6, convs, 2, cardinality=4, shaking=Shaking("shake", "even", "image"))
    plain = AggregatedBlock(6, convs, 2, cardinality=4)
    shaken.shortcut.load_state_dict(plain.shortcut.state_dict())
    for branch in (shaken.branches.one, shaken.branches.other):
        branch.load_state_dict(plain.transformations.state_dict())
    x = torch.randn(4, 6, 7, 7)
    torch.testing.assert_close(shaken(x), plain(x), atol=1e-5, rtol=1e-4)  # in training, with any alpha
    torch.testing.assert_close(shaken.eval()(x), plain.eval()(x))


def test_the_29_layers_are_resnexts_with_a_second_branch() -> None:
    with torch.device("meta"):
        one, two = create("resnext29_8x64d", classes=100, options={"cardinality": 4}), ShakeResNeXt()
    twice = sum(parameters(module) for module in two.modules() if isinstance(module, ShakeShake))
    assert parameters(two) - parameters(one) == twice // 2


def test_recomputed_blocks_draw_the_same() -> None:
    torch.manual_seed(0)
    block = ShakeBlock(4, (Conv(3, 4), Conv(3, 4)), 1, shaking=Shaking("shake", "shake", "image"))
    x = torch.randn(4, 4, 6, 6, requires_grad=True)
    gradients = []
    for run in (block, lambda y: checkpointed(block, y)):
        torch.manual_seed(1)
        block.zero_grad()
        run(x).square().sum().backward()
        gradients.append([one.grad.clone() for one in block.parameters() if one.grad is not None])
    assert len(gradients[0]) == len(list(block.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_maps_are_the_tables() -> None:
    shown = describe("shake_shake_26_2x96d")
    for row, part in zip(ROWS, shown, strict=False):
        width = 1 if row is ROWS[0] else 3
        assert part.output == (row.branch[-1].channels * width, row.output, row.output)
    assert [part.name for part in shown] == ["stem", "stage1", "stage2", "stage3", "last", "head"]


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("shake_shake_tiny", {"depth": 9}, "depth must be 6n \\+ 2, from 8 to 1202"),
        ("shake_shake_tiny", {"d": 7}, "d must be even and from 2 to 512, not 7"),
        ("shake_shake_tiny", {"forward_pass": "keep"}, "must be 'shake' or 'even'"),
        ("shake_even_29_2x4x64d", {"depth": 30}, "depth must be 9n \\+ 2"),
        ("shake_even_29_2x4x64d", {"cardinality": 0}, "cardinality and d must be from 1 to 256"),
    ],
)
def test_wrong_options_are_refused(net: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        create(net, options=options)
