"""`striate benchmark`: nets under one budget, what they cost, and what can be told apart."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pytest
from drawings import blocks, strict_json
from two_speeds import Counted, Quick, Sleepy

from striate import RequestError, benchmark
from striate.benchmarking import costs
from striate.jobs.benchmark import Benchmark
from striate.progress import Progress

CHOICES = {"budget": "6epochs", "recipe": {"train.batch": 16, "augment.preset": "none", "optimizer.lr": 0.05}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("data") / "blocks", {"low": 40, "high": 40})


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    out, measured = tmp_path_factory.mktemp("bench") / "bench", costs.peak_memory
    folder = tmp_path_factory.mktemp("user")
    for name in ("striate.py", "torch.py", "json.py"):  # of the user's own: nothing of them is imported
        (folder / name).write_text("raise SystemExit('imported from the folder')\n")
    with pytest.MonkeyPatch.context() as patched:  # a process for one of them is enough
        patched.chdir(folder)
        patched.syspath_prepend(folder)
        patched.setattr(costs, "peak_memory", lambda model: measured(model) if "1-Quick" in str(model) else (1, ""))
        return benchmark([Quick, Sleepy, Quick], data, out=out, timer=Counted(), **CHOICES)


def scores(found: Benchmark) -> list[tuple[float, ...]]:
    assert found.outcome is not None
    return [one.scores for one in found.outcome.results]


def test_the_same_net_twice_ties_and_a_slow_one_loses_latency_only(done: Benchmark) -> None:
    assert done.outcome is not None
    quick, sleepy, again = done.outcome.results
    assert quick.scores == sleepy.scores == again.scores and min(quick.scores) > 0.5
    assert quick.costs.parameters == sleepy.costs.parameters and quick.costs.madds == sleepy.costs.madds
    assert sleepy.latency[1].median == pytest.approx(0.1) and quick.latency[1].median == pytest.approx(0.001)
    assert "cannot be told apart" in done.outcome.verdict()
    (group,) = done.outcome.groups
    assert group.on_front("madds") == {"Quick": 3, "Sleepy": 3, "Quick (2)": 3}
    assert group.on_front("latency") == {"Quick": 3, "Sleepy": 0, "Quick (2)": 3}


def test_everything_is_measured(done: Benchmark) -> None:
    assert done.outcome is not None
    one = done.outcome.results[0]
    weights = 4 * 25 + 4 + 2 * 256 + 2
    assert (one.costs.parameters, one.costs.madds) == (weights, 4 * 25 * 64 + 2 * 256)
    assert one.costs.activations == 4 * 64 + 2 and one.costs.activation_bytes > 28 * 28 * 4
    assert one.costs.file_bytes is not None and one.costs.file_bytes > 4 * weights
    assert one.costs.peak_bytes is not None and one.costs.peak_bytes > 0, one.costs.peak_absent
    assert set(one.latency) == {1, 16} and one.interval is not None
    assert one.interval[0] < one.score < one.interval[1] or one.score == 1
    assert [len(seed.tries) for seed in one.seeds] == [3, 3, 3] and one.epochs == 2
    assert {round(each.lr / 0.05, 3) for each in one.seeds[0].tries} == {0.3, 1.0, 3.0}
    assert all(len(each.curve) == 2 for seed in one.seeds for each in seed.tries)
    best = max(each.score or 0 for each in one.seeds[0].tries)
    assert one.seeds[0].chosen is not None and one.seeds[0].tries[one.seeds[0].chosen].score == best


def test_the_page_and_the_result_say_it(done: Benchmark) -> None:
    assert done.folder is not None
    page = html.unescape((done.folder / "report.html").read_text("utf-8"))
    assert "3 nets on blocks, 6 epochs a net and seed" in page and "Cannot be told apart" in page
    assert (
        "in 3 of 3 seeds" in page and "10 warm-ups, then 30 rounds" in page and "float32, one thread of the CPU" in page
    )
    assert "energy" in page.lower() and page.count('<figure class="bubbles">') == 2
    facts = strict_json((done.folder / "result.json").read_text("utf-8"))
    assert facts["budget"]["option"] == "6epochs" and facts["groups"][0]["on_front"]["latency"]["Sleepy"] == 0
    assert "image_scores" not in json.dumps(facts)
    assert sum(path.suffix == ".safetensors" for path in done.folder.rglob("*")) == 9  # the chosen ones


def test_it_goes_on_from_what_is_finished_and_a_seed_gives_the_same_scores(
    data: Path, done: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert done.folder is not None
    said: list[str] = []
    monkeypatch.setattr(Progress, "say", lambda self, line: said.append(line))
    monkeypatch.setattr(costs, "peak_memory", lambda model: (1, ""))
    lost = done.folder / "2-Sleepy" / "seed-1"
    (lost / "result.json").unlink()
    for path in (lost / "rate-2").iterdir():
        path.unlink()
    chosen = {path.parent.name for path in lost.rglob("model.safetensors")}
    for name in ("rate-1", "rate-3"):  # of those that were not chosen only the score is left
        if name not in chosen:
            (lost / name / "try.json").unlink()
    again = benchmark([Quick, Sleepy, Quick], data, out=done.folder, timer=Counted(), **CHOICES)
    assert scores(again) == scores(done)
    trained = [line for line in said if "learning rate" in line and "epochs" in line and "seed 1" in line]
    assert trained and all(line.startswith("Sleepy") for line in trained)
    with pytest.raises(RequestError, match=r"other choices .*seeds"):
        benchmark([Quick, Sleepy, Quick], data, out=done.folder, seeds=4, **CHOICES)


def test_a_dry_run_tells_the_plan_and_leaves_nothing(data: Path, tmp_path: Path, cli, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = Path(__file__).parents[2] / "docs" / "net-files" / "resnet20.toml"
    words = ("benchmark", "lenet5_plain", written, "--data", data, "--budget", "6epochs", "--dry")
    code, out, err = cli(*words)
    assert code == 0, err
    assert "resnet20" in out
    assert "2 nets on blocks" in out and "2 epochs a learning rate" in out and "About " in out
    assert list(tmp_path.iterdir()) == []


WRONG = [
    (["Quick"], {}, "two nets or more"),
    (["lenet5_plain", "resnet_tiny"], {"seeds": 2}, "from 3 to 100"),
    (["lenet5_plain", "resnet_tiny"], {"budget": "10"}, "such as 10min"),
    (["lenet5_plain", "resnet_tiny"], {"budget": "2epochs"}, "--budget 3epochs or more"),
    (["lenet5_plain", "resnet_tiny"], {"match": "madds=1M"}, "has no option width"),
    (["resnet_tiny", "squeezenet_tiny"], {"match": "madds=1k"}, "not within a tenth"),
    (["lenet5_plain", "resnt20"], {}, "did you mean 'resnet20'"),
    (["lenet5_plain", "enet_19"], {}, "kind segmenter"),
    (["lenet5_plain", "resnet_tiny"], {"recipe": {"optimizer.lr": "auto"}}, "search of its own"),
    (["lenet5_plain", "resnet_tiny"], {"recipe": {"train.patience": 3}}, "the budget decides"),
]


@pytest.mark.parametrize(("nets", "choices", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_a_wrong_request_is_one_line(
    nets: list[str], choices: dict[str, object], words: str, data: Path, tmp_path: Path
) -> None:
    given = [Quick] if nets == ["Quick"] else nets
    with pytest.raises(RequestError, match=words) as error:
        benchmark(given, data, out=tmp_path / "bench", **choices)
    assert "\n" not in str(error.value) and not (tmp_path / "bench" / "plan.json").exists()


def test_a_score_that_is_no_mean_over_images_is_refused_before_training(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    labels = np.tile(np.array([[1, 0], [1, 1]], np.uint8), (6, 1))
    with pytest.raises(RequestError, match="no mean over images: it takes classification and regression"):
        benchmark([Quick], (images, labels), out=tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_a_folder_with_other_things_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RequestError, match="in use, not by a benchmark"):
        benchmark([Quick, Sleepy], data, out=tmp_path)
