"""The budget: what may be typed, and the epochs that it gives a net."""

from __future__ import annotations

import pytest

from striate import RequestError
from striate.benchmarking.budget import RATES, Budget, EpochCost, parse_budget, parse_match, sized
from striate.benchmarking.plan import PlannedNet, planned

COST = EpochCost(madds=2e9, seconds=4.0)


@pytest.mark.parametrize(
    ("typed", "kind", "amount", "said"),
    [
        ("10min", "seconds", 600, "10 min"),
        ("90s", "seconds", 90, "1.5 min"),
        ("20epochs", "epochs", 20, "20 epochs"),
        ("50Tmadds", "madds", 50e12, "50 T multiply-adds"),
        ("2.5Gmadds", "madds", 2.5e9, "2.5 G multiply-adds"),
    ],
)
def test_a_budget_is_typed_and_said(typed: str, kind: str, amount: float, said: str) -> None:
    found = parse_budget(typed)
    assert (found.kind, found.amount, str(found)) == (kind, amount, said)
    assert parse_budget(found.option) == found


@pytest.mark.parametrize("typed", ["", "10", "min", "10min20epochs", "-1min", "0epochs", "1e3s", "10 parsecs"])
def test_anything_else_is_one_line(typed: str) -> None:
    with pytest.raises(RequestError, match="budget"):
        parse_budget(typed)


def test_all_learning_rates_stay_within_the_budget() -> None:
    assert Budget("epochs", 20).epochs(COST, "net") == 6
    assert Budget("seconds", 60).epochs(COST, "net") == 5
    assert Budget("madds", 6e9 * 7 + 1).epochs(COST, "net") == 7
    with pytest.raises(RequestError, match="--budget 3epochs or more"):
        Budget("epochs", 2).epochs(COST, "net")
    with pytest.raises(RequestError, match="--budget 6Gmadds or more"):
        Budget("madds", 5e9).epochs(COST, "net")


def test_the_default_budget_takes_as_long_as_wanted() -> None:
    costs = [EpochCost(1e9, 1.0), EpochCost(1e10, 2.0)]
    found = sized(costs, seeds=3, in_all=480.0)
    taken = sum(3 * len(RATES) * found.epochs(cost, "net") * cost.seconds for cost in costs)
    assert 0.7 * 480 < taken <= 480
    least = sized(costs, seeds=3, in_all=1.0)  # too short for an epoch of each learning rate
    assert least.epochs(costs[1], "net") == 1


def test_what_nets_are_scaled_to() -> None:
    assert parse_match("madds=300M") == 300_000_000
    for typed in ("300M", "madds=", "madds=0", "parameters=3M"):
        with pytest.raises(RequestError, match="madds=300M"):
            parse_match(typed)


def test_nets_of_very_different_cost_are_not_begun_without_a_budget() -> None:
    nets = [PlannedNet(label, label, False, {}, 0, 0.0, 0.0) for label in ("small", "large")]
    probes = [EpochCost(1e9, 2.0), EpochCost(2e12, 60.0)]
    with pytest.raises(RequestError, match=r"an epoch of large costs as much as 2000 of small; give --budget"):
        planned("data", nets, probes, None, 3, {})
    small, large = planned("data", nets, probes, Budget("epochs", 6), 3, {}).nets
    assert (small.epochs, large.epochs, small.seconds) == (2, 2, 3 * 3 * 2 * 2.0)
