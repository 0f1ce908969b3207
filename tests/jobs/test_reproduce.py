"""Studies are run, kept, repeated without work, and shown; what cannot be run is told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import striate
from striate.errors import RequestError
from striate.learning.run_folder import RunFolder
from striate.nets.catalog import entry
from striate.studies import catalog
from striate.studies.study import MADDS, PARAMETERS, TEST_ERROR, TRAINING_ERROR, Arm, Claim, Published, Scale, Study

SETTINGS = {"net.name": "lenet5_plain", "augment.preset": "none", "optimizer.name": "momentum", "train.epochs": 1}
SMALL = Study(
    "optimizers", "Small", "Does a rate of 0.1 learn more than one of 1e-9?", "nobody", "I1",
    (Published("error", "1 %", "2 %"),),
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
    facts = json.loads((tmp_path / "optimizers.json").read_text())
    assert facts["verdict"] == outcome.verdict and facts["published"][0]["lecture"] == "2 %"
    page = (tmp_path / "optimizers.html").read_text()
    assert "Does a rate of 0.1 learn more" in page and "striate reproduce optimizers --scale quick" in page
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


def test_what_cannot_be_run_is_told(tmp_path: Path, cli: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = cli("reproduce")
    assert code == 0 and "degradation" in out and "Does a deeper plain network" in out
    code, _, err = cli("reproduce", "degradaton", "--out", str(tmp_path))
    assert code == 2 and "did you mean 'degradation'" in err
    code, _, err = cli("reproduce", "lesions", "--out", str(tmp_path))
    assert code == 2 and "needs --weights" in err and "akamaster" in err
    code, _, err = cli("reproduce", "mobile-costs", "--scale", "paper", "--out", str(tmp_path))
    assert code == 2 and "has no scale 'paper'; it has quick, cpu" in err
    with pytest.raises(RequestError, match="--data goes with one study"):
        striate.reproduce(["degradation", "lesions"], data="digits", out=tmp_path)


@pytest.mark.slow
def test_a_plain_network_dies_by_a_lesion(test_data: Path, tmp_path: Path) -> None:
    done = striate.reproduce(
        ["lesions"], out=tmp_path, data=test_data / "cifar10_lossless_5k.npz", weights=test_data / "weights"
    )
    assert done.outcomes[0].verdict == "reproduced in direction"


@pytest.mark.slow
def test_all_studies_run_at_quick(tmp_path: Path, test_data: Path) -> None:
    done = striate.reproduce(out=tmp_path, weights=test_data / "weights")
    assert set(done.not_run) <= {"lesions", "boosting", "small-squeezenet"}  # which need other data
    assert all(len(one.findings) == len(one.study.claims) for one in done.outcomes)
