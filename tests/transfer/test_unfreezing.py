"""Gradual unfreezing: which stages are trained, at which rate and from when on; and the batch norms of the rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from striate.nets.base import Net
from striate.nets.build import create
from striate.recipe import Recipe
from striate.training.examples import Examples
from striate.training.loop import fit
from striate.transfer.unfreezing import Unfreezing, rates, recalibrate_batch_norms, trained_stages, unfreeze_epoch

MEAN, STD = (127.0,) * 3, (128.0,) * 3
FROZEN = [f"stage{number}" for number in range(1, 8)]  # with two stages unfrozen


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return create("efficientnet_lite_tiny", classes=2, input_size=(32, 32)).eval()


def examples() -> Examples:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Examples(images, torch.tensor([0, 1] * 4), MEAN, STD)


def train(net: Net, *, batch_norm: str = "frozen", unfreeze: int = 2, epochs: int = 2) -> None:
    recipe = Recipe().updated(
        {
            "train.epochs": epochs,
            "train.batch": 4,
            "optimizer.lr": 0.1,
            "train.precision": "float32",
            "train.compile": "no",
        }
    )
    hook = Unfreezing(net, unfreeze, batch_norm)
    fit(net, examples(), recipe, hooks=[hook], rates=rates(net, unfreeze, 0.5))


def state(net: Net) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor], kind: str) -> set[str]:
    """The stages of which a tensor of that kind ("weight", "running", ...) has changed."""
    return {name.partition(".")[0] for name in before if kind in name and not before[name].equal(after[name])}


def test_learning_rates_decay_from_stage_to_stage(net: Net) -> None:
    share = rates(net, 2, 0.3)
    assert share("head.weight") == share("head.bias") == 1
    assert share("stage9.conv.weight") == pytest.approx(0.3)
    assert share("stage8.0.project.norm.bias") == pytest.approx(0.09)
    assert share("stage7.0.project.conv.weight") == share("stage1.conv.weight") == 0
    assert trained_stages(net, 2) == ["stage9", "stage8"]


def test_stages_are_unfrozen_from_the_top_in_the_first_third_and_frozen_ones_never() -> None:
    begun = [unfreeze_epoch(level, 6, 12) for level in range(8)]
    assert begun[:2] == [0, 0]
    assert begun[:7] == sorted(begun[:7]) and begun[6] == 4
    assert begun[7] == 12
    assert [unfreeze_epoch(level, 3, 1) for level in range(5)] == [0, 0, 0, 0, 1]  # a single epoch trains all of them


def test_only_unfrozen_stages_are_trained(net: Net) -> None:
    before = state(net)
    train(net)
    assert moved(before, state(net), "weight") == {"stage8", "stage9", "head"}
    assert all(parameter.requires_grad for parameter in net.parameters())  # all trainable again


def test_no_gradient_is_computed_for_frozen_stages(net: Net) -> None:
    tracked: dict[str, list[bool]] = {name: [] for name in net.stages}
    for name in net.stages:
        getattr(net, name).register_forward_hook(
            lambda module, given, answer, name=name: tracked[name].append(answer.requires_grad)
        )
    train(net, epochs=3)
    assert not any(any(tracked[name]) for name in FROZEN)
    assert tracked["stage8"] == [False] * 2 + [True] * 4  # two batches per epoch; it is unfrozen in the second
    assert tracked["stage9"] == [True] * 6


def test_no_stage_is_trained_if_none_is_unfrozen(net: Net) -> None:
    before = state(net)
    train(net, unfreeze=0)
    assert moved(before, state(net), "weight") == {"head"}


def test_frozen_batch_norms_retain_the_pretrained_statistics(net: Net) -> None:
    before = state(net)
    train(net, batch_norm="frozen")
    assert moved(before, state(net), "running") == set()


def test_trained_batch_norms_of_frozen_stages_follow_the_batches(net: Net) -> None:
    before = state(net)
    train(net, batch_norm="trained")
    assert moved(before, state(net), "running") == set(FROZEN)


def test_recalibrated_batch_norms_have_the_images_statistics(net: Net) -> None:
    before = state(net)
    seen = (examples().images.float() - 127) / 128
    recalibrate_batch_norms(net, 2, torch.split(seen, 4))
    measured = state(net)
    assert moved(before, measured, "running") == set(FROZEN)
    first = net.stage1.conv(seen).mean((0, 2, 3))
    assert torch.allclose(net.stage1.norm.running_mean, first, atol=1e-5)
    assert net.stage1.norm.momentum == pytest.approx(0.01)
    assert not net.training
    train(net, batch_norm="recalibrated")
    assert moved(measured, state(net), "running") == set()
