"""The choice of "auto", and its explanation."""

from __future__ import annotations

import pytest

from striate.errors import RequestError
from striate.learning.planning import (
    DataSummary,
    choose,
    needs_similarity,
    scratch_pixels,
    with_similarity,
    worth_finetuning,
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
    assert scratch_pixels("lenet5_plain", DIGITS).rule == "centre"
    assert scratch_pixels("lenet5_plain", DIGITS).channels == 1
    assert scratch_pixels("efficientnet_lite0", PHOTOGRAPHS).rule == "crop"


SOME, MANY = (
    DataSummary(count=999, side=375, largest=500, grey=False),
    DataSummary(count=1500, side=375, largest=500, grey=False),
)
HOSTS = DataSummary(count=20_000, side=375, largest=500, grey=False)
SIMILAR, DIFFERENT = 0.7, 0.3  # ants and bees; CIFAR-10


def test_similarity_is_measured_only_where_it_matters() -> None:
    plan = choose(MANY, "auto", "")
    assert needs_similarity(plan, MANY, "auto")
    assert not needs_similarity(choose(SOME, "auto", ""), SOME, "auto")
    assert not needs_similarity(choose(MANY, "features", ""), MANY, "features")
    assert not needs_similarity(choose(SMALL_COLOUR, "auto", ""), SMALL_COLOUR, "auto")  # trained from scratch


@pytest.mark.parametrize(
    ("seen", "sure", "seconds", "strategy", "text"),
    [
        (
            MANY,
            SIMILAR,
            60,
            "features",
            "similar to the pretraining data of efficientnet_lite0 (mean confidence",
        ),
        (
            MANY,
            DIFFERENT,
            200,
            "finetune",
            "different from the pretraining data of efficientnet_lite0",
        ),
        (MANY, DIFFERENT, 200, "finetune", "its upper stages, about 3 minutes"),
        (HOSTS, SIMILAR, 20, "finetune", "its upper stages, about 1 minute"),
        (HOSTS, DIFFERENT, 7200, "features", "fine-tuning may be better: --strategy finetune, about 120 minutes"),
    ],
)
def test_many_different_images_are_fine_tuned_on_if_time_allows(
    seen: DataSummary, sure: float, seconds: float, strategy: str, text: str
) -> None:
    plan = with_similarity(choose(seen, "auto", ""), seen, sure, seconds)
    assert (plan.strategy, plan.net) == (strategy, "efficientnet_lite0")
    assert text in plan.why and f"{seen.count:,} images" in plan.why


def test_similar_images_need_no_timed_step_unless_there_are_many_more() -> None:
    assert not worth_finetuning(MANY, SIMILAR)
    assert worth_finetuning(MANY, DIFFERENT) and worth_finetuning(HOSTS, SIMILAR)


def test_finetune_without_weights_is_refused_with_the_nets_that_have_them() -> None:
    with pytest.raises(RequestError, match=r"'finetune' needs weights.*efficientnet_lite0"):
        choose(DIGITS, "finetune", "lenet5")
