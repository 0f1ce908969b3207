"""What "auto" chooses, and that it says why."""

from __future__ import annotations

import pytest

from striate.errors import RequestError
from striate.transfer.strategy import Glance, asks_for_nearness, choose, reconsidered, scratch_pixels, wants_tuning

PHOTOGRAPHS = Glance(count=300, side=375, largest=500, grey=False)
DIGITS = Glance(count=5000, side=28, largest=28, grey=True)
FEW_SMALL = Glance(count=200, side=25, largest=25, grey=True)
SMALL_COLOUR = Glance(count=50_000, side=32, largest=32, grey=False)


@pytest.mark.parametrize(
    ("seen", "strategy", "net"),
    [
        (PHOTOGRAPHS, "features", "efficientnet_lite0"),
        (DIGITS, "scratch", "lenet5_plain"),
        (FEW_SMALL, "features", "efficientnet_lite0"),
        (SMALL_COLOUR, "scratch", "resnet20"),
    ],
)
def test_auto(seen: Glance, strategy: str, net: str) -> None:
    plan = choose(seen, "auto", "")
    assert (plan.strategy, plan.net) == (strategy, net)
    assert f"{seen.count:,}" in plan.why


def test_a_named_net_decides_by_its_weights() -> None:
    assert choose(PHOTOGRAPHS, "auto", "efficientnet_lite0").strategy == "features"
    assert choose(PHOTOGRAPHS, "auto", "resnet20").strategy == "scratch"


def test_features_without_weights_is_refused_with_the_nets_that_have_them() -> None:
    with pytest.raises(RequestError, match="efficientnet_lite0"):
        choose(DIGITS, "features", "lenet5")


def test_unknown_net_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="resnet20"):
        choose(DIGITS, "scratch", "resnet21")


def test_small_images_are_laid_centred_and_photographs_cropped() -> None:
    assert scratch_pixels("lenet5_plain", DIGITS).rule == "centre"
    assert scratch_pixels("lenet5_plain", DIGITS).channels == 1
    assert scratch_pixels("efficientnet_lite0", PHOTOGRAPHS).rule == "crop"


SOME, MANY = Glance(count=999, side=375, largest=500, grey=False), Glance(count=1500, side=375, largest=500, grey=False)
HOSTS = Glance(count=20_000, side=375, largest=500, grey=False)
NEAR, FAR = 0.7, 0.3  # ants and bees; CIFAR-10


def test_nearness_is_asked_for_only_where_it_may_matter() -> None:
    plan = choose(MANY, "auto", "")
    assert asks_for_nearness(plan, MANY, "auto")
    assert not asks_for_nearness(choose(SOME, "auto", ""), SOME, "auto")
    assert not asks_for_nearness(choose(MANY, "features", ""), MANY, "features")
    assert not asks_for_nearness(choose(SMALL_COLOUR, "auto", ""), SMALL_COLOUR, "auto")  # learnt from scratch


@pytest.mark.parametrize(
    ("seen", "sure", "seconds", "strategy", "told"),
    [
        (MANY, NEAR, 60, "features", "like those that efficientnet_lite0 knows (its own classes are 70 % sure)"),
        (MANY, FAR, 200, "finetune", "unlike those that efficientnet_lite0 knows (its own classes are 30 % sure)"),
        (MANY, FAR, 200, "finetune", "in about 3 minutes"),
        (HOSTS, NEAR, 20, "finetune", "in about 1 minute"),
        (HOSTS, FAR, 7200, "features", "finetune may do better: --strategy finetune, about 120 minutes"),
    ],
)
def test_many_images_are_tuned_to_where_they_are_far_and_the_time_is_short(
    seen: Glance, sure: float, seconds: float, strategy: str, told: str
) -> None:
    plan = reconsidered(choose(seen, "auto", ""), seen, sure, seconds)
    assert (plan.strategy, plan.net) == (strategy, "efficientnet_lite0")
    assert told in plan.why and f"{seen.count:,} images" in plan.why


def test_near_images_ask_for_no_measured_step_until_there_are_many_more() -> None:
    assert not wants_tuning(MANY, NEAR)
    assert wants_tuning(MANY, FAR) and wants_tuning(HOSTS, NEAR)


def test_finetune_without_weights_is_refused_with_the_nets_that_have_them() -> None:
    with pytest.raises(RequestError, match=r"'finetune' needs weights.*efficientnet_lite0"):
        choose(DIGITS, "finetune", "lenet5")
