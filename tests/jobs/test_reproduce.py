"""Studies are run, kept, repeated without work, and shown; what cannot be run is told."""

from __future__ import annotations

import contextlib
import dataclasses
import html
import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.errors import Diverged, RequestError, Stopped, WorkError
from striate.jobs import computed
from striate.jobs.computed import name_of
from striate.learning.run_folder import RunFolder
from striate.nets.catalog import entry
from striate.progress import Progress, Step
from striate.reading import read_file
from striate.storage import alone
from striate.studies import catalog
from striate.studies.outcome import Outcome
from striate.studies.study import (
    LOSS,
    MADDS,
    PARAMETERS,
    SECONDS,
    TEST_ERROR,
    TRAINING_ERROR,
    Arm,
    Claim,
    Compute,
    Context,
    Published,
    Result,
    Scale,
    Study,
)

SETTINGS = {"net.name": "lenet5_plain", "augment.preset": "none", "optimizer.name": "momentum", "train.epochs": 1}
SMALL = Study(
    "optimizers", "Small", "Does a rate of 0.1 learn more than one of 1e-9?", "nobody", "I1",
    (Published("error", "1 %", "2 %", arm="fast"),),
    (Arm("fast", {"optimizer.lr": 0.1}), Arm("slow", {"optimizer.lr": 1e-9})),
    (Claim("a tiny rate has the larger training error", TRAINING_ERROR, "slow", "fast"),),
    {"quick": Scale("digits", SETTINGS, 2, "All of it.", "seconds", images=(300, 300))},
    (TEST_ERROR, TRAINING_ERROR, PARAMETERS, MADDS),
)  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "study", lambda name: SMALL)
    monkeypatch.setattr(catalog, "names", lambda: ("optimizers",))


def test_a_study_is_run_once_and_shown(small: None, tmp_path: Path) -> None:
    done = striate.reproduce(["optimizers"], out=tmp_path)
    (outcome,) = done.outcomes
    (found,) = outcome.findings
    errors = [outcome.values(label, TRAINING_ERROR) for label in ("slow", "fast")]
    assert found.value == pytest.approx(sum(errors[0]) / 2 - sum(errors[1]) / 2) and min(errors[0]) > max(errors[1])
    net = entry("lenet5_plain")
    assert outcome.values("fast", PARAMETERS) == (net.parameters / 1000,) * 2
    assert outcome.values("slow", MADDS)[0] > 0
    runs = sorted((tmp_path / "runs").iterdir())
    assert len(runs) == 4
    facts = json.loads((tmp_path / "optimizers-quick.json").read_text())
    assert facts["verdict"] == outcome.verdict and facts["published"][0]["lecture"] == "2 %"
    page = (tmp_path / "optimizers-quick.html").read_text()
    assert "Does a rate of 0.1 learn more" in page and "striate reproduce optimizers --scale quick" in page
    assert "measured here" in page and "the lecture says" in page and "(fast)" in page
    assert outcome.verdict in (tmp_path / "index.html").read_text()
    before = {run: (run / "model.safetensors").stat().st_mtime_ns for run in runs}
    again = striate.reproduce(["optimizers"], out=tmp_path)
    assert {run: (run / "model.safetensors").stat().st_mtime_ns for run in runs} == before
    assert again.outcomes[0].as_dict()["claims"] == outcome.as_dict()["claims"]


def test_a_training_of_another_process_is_waited_for_by_nobody(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = dataclasses.replace(SMALL, arms=SMALL.arms[:1], claims=(), measures=(TEST_ERROR,))
    monkeypatch.setattr(catalog, "study", lambda name: one)
    striate.reproduce(["optimizers"], out=tmp_path)
    run = sorted((tmp_path / "runs").iterdir())[0]
    (run / "model.safetensors").unlink()
    with RunFolder.reopened(run):
        done = striate.reproduce(["optimizers"], out=tmp_path)
    assert not done.outcomes and "made by other processes now" in done.not_run["optimizers"]
    shutil.rmtree(run)
    with alone(tmp_path / "locks" / f"{run.name}.lock"):  # by a process that has not made the folder yet
        assert striate.reproduce(["optimizers"], out=tmp_path).not_run == done.not_run
    assert not run.exists()


class Interrupting(Progress):
    """Ctrl-C where a line is said."""

    def __init__(self, at: str) -> None:
        self.at = at

    def say(self, line: str) -> None:
        """Stop at the line."""
        if self.at in line:
            raise KeyboardInterrupt


def in_place(monkeypatch: pytest.MonkeyPatch, compute: Compute, measure: str = LOSS) -> None:
    """A study of two arms that are computed, in place of the catalogue."""
    study = Study(
        "optimizers", "Computed", "Is b larger?", "nobody", "I1", (), (Arm("a"), Arm("b")),
        (Claim("b is larger", measure, "b", "a"),), {"quick": Scale("faces", {}, 3, "None.", "seconds")}, (measure,),
        compute,
    )  # fmt: skip
    monkeypatch.setattr(catalog, "study", lambda name: study)


def test_a_stopped_study_goes_on_and_ends_as_if_it_had_not_been(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[tuple[str, int]] = []

    def compute(arm: Arm, context: Context) -> Result:
        made.append((arm.label, context.seed))
        value = context.seed + (10.0 if arm.label == "b" else 0.0)
        return Result({LOSS: value}, {"image": 1.0}, ({"epoch": 1.0, "loss": value}, {"epoch": 2.0, "loss": 0.0}))

    in_place(monkeypatch, compute)
    with pytest.raises(Stopped) as stopped:
        striate.reproduce(["optimizers"], out=tmp_path, progress=Interrupting("b, seed 1"))
    command = shlex.join(["striate", "reproduce", "optimizers", "--scale", "quick", "--out", str(tmp_path)])
    assert str(stopped.value) == f"stopped; go on with: {command}" and stopped.value.exit_code == 130
    assert made == [("a", 0), ("b", 0), ("a", 1)]
    went_on = striate.reproduce(["optimizers"], out=tmp_path)
    assert made[3:] == [("b", 1), ("a", 2), ("b", 2)]
    whole = striate.reproduce(["optimizers"], out=tmp_path / "other")
    facts = [done.outcomes[0].as_dict() | {"seconds": 0} for done in (went_on, whole)]
    assert facts[0] == facts[1] and facts[0]["verdict"] == "reproduced in direction"
    assert went_on.outcomes[0].results["b"][1] == whole.outcomes[0].results["b"][1]
    result = next((tmp_path / "computed").glob("*.json"))
    result.unlink()
    with alone(tmp_path / "locks" / result.name):  # another process is at it
        busy = striate.reproduce(["optimizers"], out=tmp_path)
    assert not busy.outcomes and "1 results are made by other processes now" in busy.not_run["optimizers"]


def test_results_of_changed_files_are_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[int] = []

    def compute(arm: Arm, context: Context) -> Result:
        made.append(context.seed)
        return Result({LOSS: float(context.seed)})

    in_place(monkeypatch, compute)
    study = dataclasses.replace(catalog.study("optimizers"), needs="net.th (its author)")
    monkeypatch.setattr(catalog, "study", lambda name: study)
    data, weights = tmp_path / "photographs", tmp_path / "weights"
    for file in (data / "a" / "1.png", weights / "net.th", weights / "other.th"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"1")

    def computed() -> int:
        made.clear()
        striate.reproduce(["optimizers"], out=tmp_path / "out", data=data, weights=weights)
        return len(made)

    assert (computed(), computed()) == (6, 0)
    (data / "a" / "2.png").write_bytes(b"2")
    assert (computed(), computed()) == (6, 0)
    (weights / "net.th").write_bytes(b"22")
    assert (computed(), computed()) == (6, 0)
    (weights / "other.th").write_bytes(b"22")
    assert computed() == 0
    data, weights = (shutil.copytree(folder, tmp_path / "elsewhere" / folder.name) for folder in (data, weights))
    assert computed() == 0
    (data / "a" / "2.png").rename(data / "a" / "3.png")
    assert computed() == 6


def test_results_of_changed_helpers_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = catalog.study("small-squeezenet")
    arm = measured.arms[0]
    before = name_of(measured, arm, 0, ())
    assert before == name_of(measured, arm, 0, ()) != name_of(measured, arm, 1, ())

    def changed(part: str) -> str:
        def reading(path: Path, limit: int) -> bytes:
            return read_file(path, limit) + (b"# changed" if path.name == part else b"")

        monkeypatch.setattr(computed, "read_file", reading)
        return name_of(measured, measured.arms[0], 0, ())

    # The study imports it within a function; of the other two, one says what a study is, and one is not the study's.
    assert changed("compression.py") != before == changed("study.py") == changed("heads.py")
    assert changed("small_squeezenet.py") != before
    measured = catalog.study("norm-smoothness")
    before = name_of(measured, measured.arms[0], 0, ())
    assert changed("compression.py") == before
    assert changed("smoothness.py") != before  # of `striate.inspect`, which measures


def test_a_training_that_diverges_is_a_result_and_a_full_disk_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failure: list[Exception] = [Diverged("the loss is not finite")]

    def compute(arm: Arm, context: Context) -> Result:
        if arm.label == "b" and context.seed == 1:
            raise failure[0]
        return Result({LOSS: float(context.seed)})

    in_place(monkeypatch, compute)
    (outcome,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    assert outcome.findings[0].by == "a training without a result" and outcome.verdict == "undecided at this scale"
    before = (tmp_path / "optimizers-quick.json").read_text()
    failure[0] = WorkError("could not write 'x': No space left on device")
    with pytest.raises(WorkError, match="No space left"):
        striate.reproduce(["optimizers"], out=tmp_path)
    assert (tmp_path / "optimizers-quick.json").read_text() == before


def test_damaged_files_of_a_folder_are_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place(monkeypatch, lambda arm, context: Result({LOSS: float(context.seed)}))
    (first,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    for place, file in enumerate(sorted((tmp_path / "computed").iterdir())):
        file.write_text(("", "{", "[]", '{"numbers": 1}', '{"numbers": {}, "wrong": {}}', "null")[place])
    (tmp_path / "lesions-cpu.json").write_text("{}")
    (tmp_path / "text-quick.json").write_text("[")
    (again,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    assert again.results == first.results
    index = (tmp_path / "index.html").read_text()
    assert "optimizers-quick.html" in index and "lesions" not in index


def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def never(arm: Arm, context: Context) -> Result:
        raise AssertionError

    in_place(monkeypatch, never)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="could not write"):
        striate.reproduce(["optimizers"], out=tmp_path / "file")


def test_the_time_of_a_study_is_that_of_its_results(
    monkeypatch: pytest.MonkeyPatch, small: None, tmp_path: Path
) -> None:
    (first,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    (again,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    assert first.seconds == again.seconds > 0 and first.as_dict()["images"] == first.images == "240 and 60"
    assert "240 and 60" in (tmp_path / first.page).read_text()
    in_place(monkeypatch, lambda arm, context: Result({LOSS: float(context.seed)}))
    (first,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    (again,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    assert first.seconds == again.seconds > 0 and first.images == ""


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("shift-tolerance", "faces", "needs images of the classes 0 to 4: 2 has none"),
        ("boosting", "faces", "has 2 classes, and resnet56 was trained on 10"),
        ("random-search", "photographs", "needs images of one size"),
    ],
)
def test_data_that_do_not_suit_a_study_are_told(
    name: str, data: str, why: str, tmp_path: Path, test_data: Path, request: pytest.FixtureRequest,
    cli: Callable[..., tuple[int, str, str]],
) -> None:  # fmt: skip
    given = request.getfixturevalue("photos") if data == "photographs" else data
    code, _, err = cli(
        "reproduce", name, "--data", given, "--weights", test_data / "weights", "--out", tmp_path / "out"
    )
    assert code == 2 and why in err and "unexpected" not in err


def test_the_command_on_a_page_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place(monkeypatch, lambda arm, context: Result({LOSS: float(context.seed)}))
    striate.reproduce(["optimizers"], out=tmp_path, data="my digits; rm.npz", weights="/a b")
    page = html.unescape((tmp_path / "optimizers-quick.html").read_text())
    assert "striate reproduce optimizers --scale quick --data 'my digits; rm.npz' --weights '/a b'" in page
    assert "my digits; rm.npz in place of faces. None." in page
    earlier = (tmp_path / "optimizers-quick.json").read_text().replace('"study": "optimizers"', '"study": "lesions"')
    (tmp_path / "lesions-quick.json").write_text(earlier)
    striate.reproduce(["optimizers"], out=tmp_path)
    index = (tmp_path / "index.html").read_text()  # of all that is in the folder
    assert (
        '<a href="lesions-quick.html">lesions</a>' in index
        and "optimizers" in index
        and index.count("Is b larger?") == 2
    )


def test_what_is_the_same_on_all_seeds_has_no_interval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {"a": (0.3, 0.1 * 3, 0.3), "b": (0.3, 0.4, 0.3)}  # a: they differ by rounding
    in_place(monkeypatch, lambda arm, context: Result({LOSS: values[arm.label][context.seed]}))
    (found,) = striate.reproduce(["optimizers"], out=tmp_path).outcomes
    page = (tmp_path / found.page).read_text()
    assert "(0.300 to 0.300)" not in page and "0.300" in page and "0.333 (0.190 to 0.477)" in page


def test_a_scale_that_a_study_has_not_is_told(
    small: None, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = cli("reproduce", "optimizers", "--scale", "paper", "--out", str(tmp_path))
    assert code == 2 and "has no scale 'paper'; it has quick" in err


def test_what_cannot_be_run_is_told(tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("reproduce")
    assert code == 0 and "degradation" in out and "Does a deeper plain network" in out
    assert "quick: 3 minutes on two cores; cpu: an hour on two cores; paper: 5 hours on a GPU" in out
    names = [line for line in out.splitlines() if not line.startswith(" ")]
    timed = [name for name, line in zip(names, out.splitlines()[2::3], strict=True) if "compares times" in line]
    assert timed == ["mobile-costs", "squeeze-cost", "squeeze-excitation", "stochastic-depth"]
    code, _, err = cli("reproduce", "degradaton", "--out", str(tmp_path))
    assert code == 2 and "did you mean 'degradation'" in err
    code, _, err = cli("reproduce", "lesions", "--out", str(tmp_path))
    assert code == 2 and "needs --weights" in err and "akamaster" in err
    for name, why in (
        ("depth-by-year", "it uses no data"),
        ("transfer", "its arms have sets of their own, faces, digits"),
    ):
        code, _, err = cli("reproduce", name, "--data", "mnist-5k", "--out", str(tmp_path))
        assert code == 2 and f"takes no --data: {why}" in err
    with pytest.raises(RequestError, match="--data goes with one study"):
        striate.reproduce(["degradation", "lesions"], data="digits", out=tmp_path)


@pytest.mark.parametrize("measure", [LOSS, SECONDS])
def test_a_comparison_of_times_says_that_it_wants_the_machine(
    measure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []

    class Saying(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    in_place(monkeypatch, lambda arm, context: Result({measure: float(context.seed)}), measure)
    striate.reproduce(["optimizers"], out=tmp_path, progress=Saying())
    page = (tmp_path / "optimizers-quick.html").read_text()
    assert any("compares times" in line for line in said) == ("compares times" in page) == (measure == SECONDS)


WITHOUT_A_NUMBER = {  # arms that have no such number
    "depth-by-year": {"six ResNets (2015)", "a trained person"},
    "small-squeezenet": {"half a megabyte", "AlexNet, 32 bits a weight"},
    "text": {"bz2", "lzma"},
}


def assert_whole(outcome: Outcome, folder: Path) -> None:
    """Every arm has finite numbers on all seeds, every claim a verdict with an interval, and the page shows both."""
    study, seeds = outcome.study, outcome.scale.seeds
    assert [one.claim for one in outcome.findings] == list(study.claims)
    assert all(np.isfinite([one.value, one.low, one.high]).all() for one in outcome.findings), study.name
    for arm in study.arms:
        measured = [values for measure in study.measures if (values := outcome.values(arm.label, measure))]
        assert len(measured) == len(study.measures) or arm.label in WITHOUT_A_NUMBER.get(study.name, ()), arm
        assert measured and all(len(values) == seeds and np.isfinite(values).all() for values in measured), arm
    page = html.unescape((folder / outcome.page).read_text())
    assert all(text in page for text in (outcome.verdict.capitalize(), *(arm.label for arm in study.arms)))
    assert all(row.value in page for row in study.published) and f"striate reproduce {study.name} --scale" in page


NEED_MORE = {  # what studies need that the packages do not hold
    "lesions": "cifar10_lossless_5k.npz",
    "layer-responses": "cifar10_lossless_5k.npz",
    "residual-depth": "cifar10_lossless_5k.npz",
    "boosting": "cifar10_lossless_5k.npz",
    "path-lengths": "cifar10_lossless_5k.npz",
    "small-squeezenet": "imagenet_samples",
}


@pytest.mark.slow
def test_all_studies_run_at_quick(tmp_path: Path, test_data: Path) -> None:
    done = striate.reproduce(out=tmp_path, weights=test_data / "weights")
    assert set(done.not_run) <= NEED_MORE.keys()
    assert {one.study.name for one in done.outcomes} | done.not_run.keys() == set(catalog.names())
    for outcome in done.outcomes:
        assert_whole(outcome, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEED_MORE)
def test_studies_of_data_that_is_fetched_run_at_quick(name: str, test_data: Path, tmp_path: Path) -> None:
    (outcome,) = striate.reproduce(
        [name], out=tmp_path, data=test_data / NEED_MORE[name], weights=test_data / "weights"
    ).outcomes
    assert_whole(outcome, tmp_path)
    if name == "lesions":  # a plain network dies by one
        assert outcome.verdict == "reproduced in direction"


SETS = {
    "cifar10": (32, "RGB"),
    "cifar100": (32, "RGB"),
    "mnist": (28, "L"),
    "digits": (8, "L"),
    "imagenette": (160, "RGB"),
}


class Begun(Progress):
    """Ctrl-C when the first epoch of a training is done."""

    @contextlib.contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """Stop at the first step of a training."""
        with super().bar(what, total) as step:
            if what.startswith("Training"):
                step.advance = self._stop  # type: ignore[method-assign]
            yield step

    def _stop(self, amount: int = 1) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.study(name).compute is None])
def test_the_published_protocol_can_be_started(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With folders of a few images in place of the named sets: each arm's training ends its first epoch."""
    noise = np.random.default_rng(0)
    for data, (side, mode) in SETS.items():
        for number in range(20):
            pixels = noise.integers(0, 256, (side, side, 3), np.uint8)
            file = tmp_path / data / ("test" if number % 4 else "train") / str(number % 10) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).convert(mode).save(file)
    monkeypatch.chdir(tmp_path)
    study = catalog.study(name)
    scale = study.at("paper")
    for number, arm in enumerate(study.arms):
        plain = {"train.precision": "float32", "train.compile": "no"}  # to find the fastest takes longer than the epoch
        changes = {arm.label: {**scale.changes.get(arm.label, {}), **plain}}
        one = dataclasses.replace(
            study, arms=(arm,), claims=(), published=(), scales={"paper": dataclasses.replace(scale, changes=changes)}
        )
        monkeypatch.setattr(catalog, "study", lambda name, one=one: one)
        if study.settings(arm, "paper", 0).get("strategy") == "features":  # there is no epoch
            continue
        with pytest.raises(Stopped):
            striate.reproduce([name], scale="paper", out=f"out{number}", progress=Begun())
        (run,) = (tmp_path / f"out{number}" / "runs").iterdir()
        assert (run / "recipe.toml").exists() and not (run / "model.safetensors").exists()
