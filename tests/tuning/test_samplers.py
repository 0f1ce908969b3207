"""Samplers on an objective whose best point is known; spaces give networks that can be built."""

from __future__ import annotations

import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.errors import RequestError, WorkError
from striate.tuning.architecture.cell_space import cell_space
from striate.tuning.architecture.controller import Controller
from striate.tuning.architecture.mobile_space import mobile_space
from striate.tuning.architecture.objective import Objective, madds_target, size_of
from striate.tuning.architecture.samplers import SAMPLERS, EvolutionSampler, sampler
from striate.tuning.architecture.search import Study, pareto_front, require_result, run_study
from striate.tuning.architecture.space import Choice, Point, Space
from striate.tuning.architecture.trial import Trial

SPACE = mobile_space(32)
BEST = tuple(len(choice.values) - 1 for choice in SPACE.choices)


def judge(point: Point) -> Trial:
    """The share of choices that are as in BEST: without interactions, so that any method that learns can learn it."""
    share = sum(one == best for one, best in zip(point, BEST, strict=True)) / len(BEST)
    return Trial(point, madds=1000, accuracy=share, reward=share)


def best_of(name: str, seed: int, trials: int = 120) -> float:
    best = run_study(sampler(name, SPACE, seed), trials, judge, name=name).best
    assert best is not None
    return best.reward


@pytest.mark.parametrize("name", ["evolution", "reinforcement"])
def test_a_sampler_that_learns_beats_random_search_on_a_known_objective(name: str) -> None:
    ours, random = ([best_of(one, seed) for seed in range(4)] for one in (name, "random"))
    assert statistics.mean(ours) > statistics.mean(random) + 0.1
    assert all(one > other for one, other in zip(ours, random, strict=True))


def test_reinforcement_learns_choices_that_depend_on_each_other() -> None:
    """Each value is right if it follows the one before, so that no value by itself is better than another."""
    space = Space("toy", "", tuple(Choice(f"c{place}", (0, 1, 2)) for place in range(6)), dict, 8, (0,) * 6)

    def judged(point: Point) -> Trial:
        share = sum(after == (before + 1) % 3 for before, after in pairwise(point)) / (len(point) - 1)
        return Trial(point, madds=1000, accuracy=share, reward=share)

    early, late = [], []
    for seed in range(3):
        trials = run_study(sampler("reinforcement", space, seed), 180, judged, name="reinforcement").trials
        early += [trial.reward for trial in trials[:30]]
        late += [trial.reward for trial in trials[-30:]]
    assert statistics.mean(early) < 0.5 and statistics.mean(late) > 0.7


def test_the_controller_draws_values_by_those_before() -> None:
    """Fitted to pairs of which each value is as frequent as any, it draws these pairs, and all of them."""
    controller, points = Controller([3, 3]), torch.tensor([[0, 1], [1, 2], [2, 0]])
    optimizer = torch.optim.Adam(controller.parameters(), lr=0.2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = -sum(log.gather(1, points[:, [place]]).mean() for place, log in enumerate(controller(points)))
        loss.backward()
        optimizer.step()
    generator = np.random.default_rng(0)
    drawn = Counter(controller.draw(generator) for _ in range(200))
    known = [drawn[one, other] for one, other in points.tolist()]
    assert sum(known) > 190 and min(known) > 40


def test_random_search_draws_every_value_about_equally() -> None:
    points = [trial.point for trial in run_study(sampler("random", SPACE, 0), 600, judge, name="random").trials]
    for place, choice in enumerate(SPACE.choices):
        shares = np.bincount([point[place] for point in points], minlength=len(choice.values)) / len(points)
        assert np.abs(shares - 1 / len(choice.values)).max() < 0.08


def test_the_oldest_of_the_population_dies_whatever_its_reward() -> None:
    evolution = EvolutionSampler(SPACE, 0, population=2, tournament=50)
    first, second, third = (SPACE.random(np.random.default_rng(seed)) for seed in range(3))
    for point, reward in ((first, 1.0), (second, 0.1), (third, 0.2)):
        evolution.tell(point, reward)
    for _ in range(20):  # children of the best member that lives: the third
        child = evolution.propose()
        assert sum(one != other for one, other in zip(child, third, strict=True)) == 1


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_stopped_search_continues_exactly(name: str, tmp_path: Path) -> None:
    whole = run_study(sampler(name, SPACE, 3), 20, judge, name=name, log=tmp_path / "whole.jsonl")
    log = tmp_path / "trials.jsonl"
    run_study(sampler(name, SPACE, 3), 11, judge, name=name, log=log)
    tried: list[Point] = []

    def counting(point: Point) -> Trial:
        tried.append(point)
        return judge(point)

    continued = run_study(sampler(name, SPACE, 3), 20, counting, name=name, log=log)
    assert continued == whole and len(tried) == 9
    assert log.read_text() == (tmp_path / "whole.jsonl").read_text()
    with pytest.raises(RequestError, match="the log of another search: trial 1 differs"):
        run_study(sampler(name, SPACE, 4), 20, judge, name=name, log=log)
    log.write_text("{}\n")
    with pytest.raises(RequestError, match="not a trial of a search"):
        run_study(sampler(name, SPACE, 3), 20, judge, name=name, log=log)


def test_a_point_is_trained_once() -> None:
    calls: list[Point] = []

    def counting(point: Point) -> Trial:
        calls.append(point)
        return Trial(point, reward=0.5)

    one = mobile_space(8, vary=("kernel",))
    first = run_study(sampler("random", one, 0), 12, counting, name="random")
    run_study(sampler("evolution", one, 0), 12, counting, name="evolution", known=first.trials)
    assert len(calls) == len(set(calls)) <= one.size == 4


def test_failed_trials_are_no_result() -> None:
    def half(point: Point) -> Trial:
        return judge(point) if point[0] else Trial(point, failed="diverged")

    study = run_study(sampler("random", SPACE, 0), 10, half, name="random")
    assert 0 < len(study.succeeded) < 10 and study.best is not None and study.best.point[0]
    failed = Study("random", (Trial(BEST, failed="diverged"),) * 3)
    assert failed.best is None and failed.best_so_far() == [0, 0, 0]
    with pytest.raises(WorkError, match="all 3 trials failed; the first: diverged"):
        require_result((failed,))
    with pytest.raises(RequestError, match="a search needs 1 trial at least, not 0"):
        run_study(sampler("random", SPACE, 0), 0, judge, name="random")


def test_the_objectives_of_the_papers() -> None:
    """MnasNet: twice the latency costs 5 %, which 5 % more accuracy outweighs; EfficientNet: T is 400 M at 224."""
    objective = Objective("latency", target=0.08)
    assert objective.reward(0.5, 0.08) == 0.5
    assert objective.reward(0.5, 0.08) == pytest.approx(objective.reward(0.525, 0.16), rel=2e-3)
    assert (madds_target(224), madds_target(112)) == (400e6, 100e6)
    for target, exponent, why in ((0, -0.07, "above 0, not 0"), (1, 0.1, "from -1 to 0, not 0.1")):
        with pytest.raises(RequestError, match=why):
            Objective("madds", target, exponent)


def test_the_front_is_what_nothing_beats() -> None:
    trials = [Trial((place,), madds=cost, accuracy=accuracy) for place, (cost, accuracy) in
              enumerate([(5, 0.8), (1, 0.5), (3, 0.4), (9, 0.9), (9, 0.85), (4, 0.8)])]  # fmt: skip
    front = pareto_front((*trials, Trial((9,), madds=0, failed="diverged")))
    assert [(one.madds, one.accuracy) for one in front] == [(1, 0.5), (4, 0.8), (9, 0.9)]


@pytest.mark.parametrize(
    "space", [mobile_space(8), mobile_space(28, channels=8), mobile_space(224), cell_space(32), cell_space(8, lines=5)],
    ids=lambda space: f"{space.name}{space.side}",
)  # fmt: skip
def test_every_point_of_a_space_is_a_network(space: Space) -> None:
    generator = np.random.default_rng(0)
    for point in (space.reference, *(space.random(generator) for _ in range(3))):
        size = size_of(space.net, space.options_of(point), 10, space.side)
        assert size.parameters > 100 and size.madds > 1000
        assert space.mutated(point, generator) != point
    with pytest.raises(ValueError, match="is no point of the space"):
        space.values((*space.reference[:-1], 99))


def test_the_large_reference_is_about_as_large_as_mobile_networks() -> None:
    space = mobile_space(224)
    assert 150e6 < size_of(space.net, space.options_of(space.reference), 1000, 224).madds < 600e6


def test_only_depth_and_filter_size_can_be_searched() -> None:
    space = mobile_space(32, vary=("kernel", "layers"))
    names = {choice.name.rstrip("0123456789") for choice in space.choices}
    assert names == {"kernel", "layers"}
    tables = {str(space.options_of(space.random(np.random.default_rng(seed)))["table"]) for seed in range(5)}
    for text in tables:
        blocks = [line.split() for line in text.splitlines() if "MBConv" in line]
        assert {block[2] for block in blocks} == {"3"} and {block[4] for block in blocks} == {"-"}
    with pytest.raises(RequestError, match="unknown choice of the mobile space 'kernels'; did you mean 'kernel'"):
        mobile_space(32, vary=("kernels",))
    with pytest.raises(RequestError, match="unknown method 'evolve'; did you mean 'evolution'"):
        sampler("evolve", SPACE, 0)
