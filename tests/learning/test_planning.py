"""The choice of "auto", and its explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from striate import train
from striate.errors import RequestError
from striate.learning.planning import (
    DataSummary,
    choose,
    scratch_pixels,
)

PHOTOGRAPHS = DataSummary(count=300, side=375, largest=500, grey=False)
DIGITS = DataSummary(count=5000, side=28, largest=28, grey=True)
FEW_SMALL = DataSummary(count=200, side=25, largest=25, grey=True)
SMALL_COLOUR = DataSummary(count=50_000, side=32, largest=32, grey=False)


@pytest.mark.parametrize(
    ("seen", "strategy", "net"),
    [
        (PHOTOGRAPHS, "features", "efficientnet_lite0"),
        (DIGITS, "scratch", "lenet5_plain"),
        (FEW_SMALL, "features", "efficientnet_lite0"),
        (SMALL_COLOUR, "scratch", "resnet20"),
    ],
)
def test_auto(seen: DataSummary, strategy: str, net: str) -> None:
    plan = choose(seen, "auto", "")
    assert (plan.strategy, plan.net) == (strategy, net)
    assert f"{seen.count:,}" in plan.why


def test_a_given_net_decides_by_its_weights() -> None:
    assert choose(PHOTOGRAPHS, "auto", "efficientnet_lite0").strategy == "features"
    assert choose(PHOTOGRAPHS, "auto", "resnet20").strategy == "scratch"


def test_features_without_weights_is_refused_with_the_nets_that_have_them() -> None:
    with pytest.raises(RequestError, match="efficientnet_lite0"):
        choose(DIGITS, "features", "lenet5")


def test_unknown_net_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="resnet20"):
        choose(DIGITS, "scratch", "resnet21")


def test_small_images_are_padded_and_photographs_cropped() -> None:
    assert scratch_pixels("lenet5_plain", DIGITS, {}).rule == "centre"
    assert scratch_pixels("lenet5_plain", DIGITS, {}).channels == 1
    assert scratch_pixels("efficientnet_lite0", PHOTOGRAPHS, {}).rule == "crop"


def test_quick_and_best_are_the_two_ends() -> None:
    assert choose(PHOTOGRAPHS, "quick", "").strategy == choose(DIGITS, "quick", "").strategy == "features"
    assert choose(PHOTOGRAPHS, "best", "").strategy == choose(FEW_SMALL, "best", "").strategy == "finetune"
    assert choose(DIGITS, "best", "").strategy == "scratch"
    assert choose(PHOTOGRAPHS, "best", "resnet20").strategy == "scratch"  # it has no weights to start from


def test_only_auto_leaves_the_choice_to_the_heads_error() -> None:
    assert choose(PHOTOGRAPHS, "auto", "").open and choose(PHOTOGRAPHS, "auto", "efficientnet_lite0").open
    assert not any(choose(PHOTOGRAPHS, asked, "").open for asked in ("quick", "best", "features", "finetune"))
    assert not choose(DIGITS, "auto", "").open


def test_finetune_without_weights_is_refused_with_the_nets_that_have_them() -> None:
    with pytest.raises(RequestError, match=r"'finetune' needs weights.*efficientnet_lite0"):
        choose(DIGITS, "finetune", "lenet5")


REFUSED: dict[str, dict[str, Any]] = {
    "unknown net 'resnt20'; did you mean 'resnet20'": {"net.name": "resnt20"},
    "unknown option of resnet20: 'widht'": {"net": {"name": "resnet20", "options": {"widht": 2}}},
    "option width of alexnet must be a number": {
        "net": {"name": "alexnet", "options": {"width": "two"}},
        "strategy": "scratch",
    },
    "strategy 'finetune' needs weights": {"net.name": "resnet20", "strategy": "finetune"},
    "strategy 'features' needs weights": {"net.name": "resnet20", "strategy": "features"},
    "cannot read the model 'none.safetensors'": {"net.name": "none.safetensors"},
    "'scratch' starts from random weights": {"net.name": "none.safetensors", "strategy": "scratch"},
}


@pytest.mark.parametrize("words", REFUSED)
def test_the_net_is_checked_before_the_data_are_opened(words: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=words):
        train(tmp_path / "there is nothing here", out=tmp_path / "run", recipe=REFUSED[words])
    assert not (tmp_path / "run").exists()


def test_a_damaged_model_file_is_told_before_the_data_are_opened(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"no model")
    with pytest.raises(RequestError, match="is not a model file"):
        train(tmp_path / "there is nothing here", net=str(tmp_path / "m.safetensors"))
