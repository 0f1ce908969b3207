"""The nets of a benchmark: scaled to equal cost, by their papers' recipes, with published weights on a front apart."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from striate import RequestError, paper_recipe
from striate.anatomy.summary import madds
from striate.anatomy.trace import PRODUCTS
from striate.benchmarking.budget import Budget
from striate.benchmarking.contenders import contenders, matched
from striate.benchmarking.costs import Costs, activations
from striate.benchmarking.energy import EnergyMeter
from striate.benchmarking.latency import Latency
from striate.benchmarking.outcome import NetResult, Outcome
from striate.benchmarking.trainings import SeedResult, Try
from striate.learning.planning import DataSummary
from striate.recipe import Recipe
from striate.tasks import Classification

PHOTOS = DataSummary(count=100, side=300, largest=400, grey=False)
TASK = Classification(tuple(f"class {number}" for number in range(1000)))


@pytest.mark.parametrize(("net", "millions"), [("resnet50_modern", 11.11), ("mobilenet_v2", 6.68), ("vgg16", 13.56)])
def test_activations_are_those_that_timm_publishes(net: str, millions: float) -> None:
    one, _ = contenders([net, "alexnet"], [], Recipe(), PHOTOS)
    assert activations(one, TASK) / 1e6 == pytest.approx(millions, abs=0.01)
    assert {"conv2d", "linear"} <= set(PRODUCTS)


def test_nets_are_scaled_to_equal_multiply_adds() -> None:
    for one in contenders(["alexnet", "mobilenet_v2"], [], Recipe(), PHOTOS):
        found = matched(one, 80_000_000, TASK)
        size = (found.pixels.height, found.pixels.width)
        assert abs(madds(found.on_meta(TASK), size) - 80e6) < 8e6 and found.options["width"] != 1
    with pytest.raises(RequestError, match="has no option width"):
        matched(contenders(["lenet5", "resnet20"], [], Recipe(), PHOTOS)[0], 80_000_000, TASK)


def test_each_net_by_its_papers_recipe() -> None:
    lenet, resnet = contenders(["lenet5", "resnet20"], [], None, PHOTOS)
    assert lenet.recipe.optimizer == paper_recipe("lenet5").optimizer
    assert resnet.recipe.train.batch == paper_recipe("resnet20").train.batch != lenet.recipe.train.batch


def result(label: str, correct: float, *, pretrained: bool = False, madds: int = 1000) -> NetResult:
    """A net with these shares of right answers on three seeds."""
    seeds = []
    for seed in range(3):
        answers = (np.random.default_rng(seed).random(200) < correct).astype(float)
        done = Try(0.1, 5, 0.5, 1.0, ((1.0, 0.5),), joules=None)
        seeds.append(
            SeedResult(seed, (done, done, done), 0, float(answers.mean()), (0.0, 1.0), tuple(answers.tolist()))
        )
    costs = Costs(10 * madds, madds, 10, 40)
    latency = {batch: Latency(madds / 1e6, 0.0, 1.0, 1.0, False) for batch in (1, 16)}
    return NetResult(label, label, pretrained, 5, tuple(seeds), costs, latency)


def outcome(*results: NetResult) -> Outcome:
    return Outcome("data", Budget("epochs", 15), 3, TASK.metric, results, {"test": 200}, {})


def test_pretrained_nets_are_never_on_one_front_with_others() -> None:
    found = outcome(result("a", 0.5), result("b", 0.8, madds=2000), result("c", 0.99, pretrained=True, madds=500))
    scratch, started = found.groups
    assert scratch.on_front("madds") == {"a": 3, "b": 3} and started.on_front("madds") == {"c": 3}
    assert found.verdict() == "b is best. Pretrained: c alone has a model on every seed."
    assert [group["nets"] for group in found.as_dict()["groups"]] == [["a", "b"], ["c"]]


def test_a_net_that_did_not_train_is_said_and_not_compared() -> None:
    from striate.benchmarking.bench_report import benchmark_report
    from striate.report.page import render

    failed = Try(0.3, 5, None, 1.0, error="the loss is not finite")
    lost = dataclasses.replace(result("b", 0.8), seeds=tuple(SeedResult(seed, (failed,) * 3) for seed in range(3)))
    found = outcome(result("a", 0.5), lost, result("c", 0.55))
    assert [one.label for one in found.groups[0].whole] == ["a", "c"]
    page = render(benchmark_report(found))
    assert "9 trainings failed" in page and "the loss is not finite" in page


def test_published_weights_are_where_a_pretrained_net_starts() -> None:
    (one, _) = contenders([], ["efficientnet_lite0", "efficientnet_lite0"], Recipe(), PHOTOS)
    assert one.label == "efficientnet_lite0 (pretrained)" and one.pretrained
    with pytest.raises(RequestError, match="no published weights of 'lenet5' here; nets that have them: "):
        contenders(["resnet20"], ["lenet5"], Recipe(), PHOTOS)
    with pytest.raises(RequestError, match="width is theirs"):
        matched(one, 80_000_000, TASK)
    from striate.benchmarking.trainings import starting_net

    net = starting_net(one.net, 3)
    again = starting_net(one.net, 3)
    first, second = (next(each.parameters()) for each in (net, again))
    assert torch.equal(first, second) and net.options["classes"] == 3


def test_energy_is_read_from_counters_or_absent(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).joules() is None
    for package, start in (("intel-rapl:0", 5_000_000), ("intel-rapl:1", 9_000_000)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "energy_uj").write_text(f"{start}\n")
        (tmp_path / package / "max_energy_range_uj").write_text("10000000\n")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the first package
    meter = EnergyMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("7000000\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000\n")  # it began again
    assert meter.joules() == pytest.approx(4.0)
