"""Workers on one study: in a journal by two processes, in PostgreSQL; killed workers; storages that fail."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState
from toy_search import RECIPE, by_rate, evaluation, made, search, space

from striate.errors import RequestError, WorkError
from striate.progress import Progress
from striate.tuning import workers
from striate.tuning.folder import Settings, claimed, resumed
from striate.tuning.outcomes import best_of, best_so_far, flattery, trials_csv
from striate.tuning.sampling import drawn
from striate.tuning.search import Search, require_best, run
from striate.tuning.study import open_place, require_same
from striate.tuning.workers import ATTEMPTS, GRACE, Watch, claim, counted, put_back, take_up

POSTGRESQL = Path("/usr/lib/postgresql/15/bin")
TOY = Path(__file__).with_name("toy_search.py")


def start(storage: str, what: str, total: int, name: str = "toy") -> subprocess.Popen[str]:
    command = [sys.executable, str(TOY), storage, name, what, str(total)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def values_of(one: Search) -> list[dict[str, object]]:
    return [dict(row.values) for row in one.rows()]


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "journal.log")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A PostgreSQL server of this module, on a socket in a folder of its own."""
    if not (POSTGRESQL / "initdb").is_file():
        pytest.skip(f"no PostgreSQL at {POSTGRESQL}")
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL")
    folder = tempfile.mkdtemp(prefix="striate-pg-")
    user: dict[str, str] = {}
    if os.getuid() == 0:  # the server does not run as root
        user = {"user": "nobody"}
        shutil.chown(folder, "nobody")

    def call(*words: str) -> None:
        done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True, **user)
        assert done.returncode == 0, done.stderr

    data = f"{folder}/data"
    try:
        call(str(POSTGRESQL / "initdb"), "-D", data, "-U", "striate", "-A", "trust", "--no-sync", "--no-instructions")
        options = f"-F -c listen_addresses='' -k {folder}"
        call(str(POSTGRESQL / "pg_ctl"), "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://striate:secret@/postgres?host={folder}"
        finally:
            call(str(POSTGRESQL / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def two_processes_share(storage: str, total: int) -> None:
    other = start(storage, "run", total)
    mine = search(storage, total=total)
    assert run(mine, by_rate, Progress())
    theirs = [int(word) for word in other.communicate()[0].split()]
    assert other.returncode == 0
    rows = mine.rows()
    assert sorted([*made(mine), *theirs]) == [row.number for row in rows] and len(rows) == total
    assert all(row.ended for row in rows)
    mine.place.close()


def test_two_processes_share_a_journal(journal: str) -> None:
    two_processes_share(journal, 12)
    alone = search(f"{journal}.alone", total=12)
    run(alone, by_rate, Progress())
    mine = search(journal, total=12)
    assert len(values_of(mine)) == 12
    shared = {repr(values) for values in values_of(mine)}
    # Drawn by seed and trial number, not by worker; a surplus number, if both asked at once, is passed over.
    assert len(shared & {repr(values) for values in values_of(alone)}) >= 11


def test_two_processes_share_postgresql_and_take_up_a_killed_workers_trial(database: str) -> None:
    killed = start(database, "hang", 5)
    assert killed.stdout is not None
    number = int(killed.stdout.readline())
    two = search(database, total=5)
    (running,) = two.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    assert running.number == number and take_up(two.study, Watch()) == []
    killed.kill()
    killed.communicate()
    two_processes_share(database, 5)
    rows = two.rows()
    assert [row.state for row in rows].count("complete") == 5
    assert dict(running.params) in [dict(row.labels) for row in rows]
    two.place.close()
    with pytest.raises(RequestError, match=r"cannot open the storage 'postgresql://striate@/none") as caught:
        open_place(database.replace("/postgres?", "/none?"))
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_killed_workers_trial_is_taken_up_at_once_on_its_machine(journal: str) -> None:
    worker = start(journal, "hang", 3)
    assert worker.stdout is not None
    number = int(worker.stdout.readline())
    mine = search(journal, total=3)
    lost = dict(mine.study.get_trials()[number].params)
    assert take_up(mine.study, Watch()) == []  # it lives
    worker.kill()
    worker.communicate()
    run(mine, by_rate, Progress())
    rows = mine.rows()
    assert len(rows) == 3 and [row.state for row in rows] == ["complete"] * 3
    assert lost in [dict(row.labels) for row in rows]


def test_a_worker_elsewhere_has_ended_when_its_beat_stops(journal: str) -> None:
    mine = search(journal)
    trial = mine.study.ask()
    trial.set_user_attr("worker", {"host": "far", "machine": "other", "pid": 1, "started": "1"})
    watch = Watch()

    def ended(now: float) -> bool:
        return watch.ended(mine.study.get_trials(deepcopy=False)[0], now)

    assert not ended(0.0) and not ended(GRACE - 1)
    trial.set_user_attr("beat", 1)
    assert not ended(GRACE + 1)  # it beat meanwhile
    assert not ended(2 * GRACE) and ended(2 * GRACE + 2)


def test_a_worker_beats_while_it_trains(journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BEAT", 0.001)
    mine, other = search(journal, total=1), search(journal, total=1)

    def evaluate(recipe, on_epoch):
        for _ in range(10_000):
            (trial,) = other.study.get_trials(deepcopy=False)
            if trial.user_attrs.get("beat", 0) >= 2:
                return by_rate(recipe, on_epoch)
        raise AssertionError("no beat came")

    run(mine, evaluate, Progress())
    assert [row.state for row in mine.rows()] == ["complete"]


def test_a_trial_that_ends_its_workers_is_given_up(journal: str) -> None:
    mine, watch = search(journal, total=1), Watch()
    tried = []
    for _ in range(ATTEMPTS):
        one = claim(mine.study, 1, watch)
        assert one is not None and one.index == 0
        tried.append(drawn(one.trial, mine.space, RECIPE))
        assert put_back(mine.study, mine.study.get_trials()[one.trial.number])
        assert not put_back(mine.study, mine.study.get_trials()[one.trial.number])
    assert tried == [tried[0]] * ATTEMPTS and claim(mine.study, 1, watch) is None
    (row,) = mine.rows()
    assert row.state == "failed" and row.error == "its worker ended"
    assert counted(mine.study.get_trials()) == 1


def test_no_more_trials_are_made_than_asked_for(journal: str) -> None:
    mine, other = search(journal, total=2), search(journal, total=2)
    claims = [claim(one.study, 2, Watch()) for one in (mine, other, mine, other)]
    assert [one is not None for one in claims] == [True, True, False, False]
    assert {one.index for one in claims if one} == {0, 1}


def test_every_point_of_a_grid_is_tried_once_by_any_number_of_workers(journal: str) -> None:
    grid = space({"optimizer.lr": {"low": 0.01, "high": 0.8}, "train.batch": [16, 32]}, points=3)
    other = search(journal, "grid", 6, "grid", space=grid)
    lost = claim(other.study, 6, Watch())  # a worker that ends before it drew a value
    assert lost is not None
    put_back(other.study, other.study.get_trials()[0])
    mine = search(journal, "grid", 6, "grid", space=grid)
    run(mine, by_rate, Progress())
    found = values_of(mine)
    assert len(found) == 6
    assert sorted(map(repr, found)) == sorted(repr(grid.values(point)) for point in grid.grid(RECIPE))


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_a_search_goes_on_as_if_it_had_not_been_interrupted(method: str, journal: str) -> None:
    whole = search(journal, "whole", 14, method)
    run(whole, by_rate, Progress())
    for total in (5, 14):
        run(search(journal, "parts", total, method), by_rate, Progress())
    parts = search(journal, "parts", 14, method)
    assert values_of(parts) == values_of(whole) and len(values_of(whole)) == 14
    rates, smoothings = zip(*(values.values() for values in values_of(whole)), strict=True)
    assert len(set(rates)) == 14 and list(rates) != list(smoothings)


def test_failed_and_equal_trials_are_recorded_and_the_search_goes_on(journal: str) -> None:
    searched, calls = space({"optimizer.lr": [0.1, 0.95]}), []

    def evaluate(recipe, on_epoch):
        calls.append(recipe.optimizer.peak)
        return by_rate(recipe, on_epoch)

    mine = search(journal, "some", 6, "tpe", space=searched)
    run(mine, evaluate, Progress())
    rows = mine.rows()
    assert {row.state for row in rows} == {"complete", "failed"} and len(rows) == 6
    assert calls.count(0.1) == 1  # the others of this value have its score
    first = next(row for row in rows if row.complete)
    assert {row.same_as for row in rows if row.complete} == {None, first.number}
    assert {row.error for row in rows if not row.complete} == {"the loss is not a finite number"}
    assert require_best(mine).number == first.number
    assert best_so_far(rows, True)[-1] == (max(i for i, r in enumerate(rows, 1) if r.complete), first.value)


def test_all_trials_failed_is_one_line(journal: str) -> None:
    mine = search(journal, "bad", 2, space=space({"optimizer.lr": [0.95, 0.99]}))
    run(mine, by_rate, Progress())
    with pytest.raises(WorkError, match=r"none of the 2 trials has a score.*optimizer.lr = 0.9.*not a finite number"):
        require_best(mine)


@pytest.mark.parametrize("pruner", ["halving", "hyperband"])
def test_poor_trials_are_ended_early(pruner: str, journal: str) -> None:
    epochs: list[int] = []

    def evaluate(recipe, on_epoch):
        score = 1 - abs(recipe.optimizer.peak - 0.1)
        for epoch in range(1, 10):
            epochs.append(epoch)
            on_epoch(epoch, score * epoch / 9)
        return evaluation(score)

    mine = search(journal, pruner, 14, pruner=pruner)
    run(mine, evaluate, Progress())
    states = [row.state for row in mine.rows()]
    assert states.count("pruned") >= 3 and states.count("complete") >= 1
    assert len(epochs) < 0.8 * 9 * 14
    pruned = [row for row in mine.rows() if row.state == "pruned"]
    assert all(0 < row.epochs <= 9 and len(row.curve) == row.epochs for row in pruned)
    best = best_of(mine.rows(), True)
    assert best is not None and best.complete


def test_a_stopped_worker_puts_its_trial_back(journal: str) -> None:
    mine = search(journal, total=2)

    def evaluate(recipe, on_epoch):
        raise KeyboardInterrupt

    for _ in range(ATTEMPTS + 1):  # as often as one likes
        with pytest.raises(KeyboardInterrupt):
            run(mine, evaluate, Progress())
        with pytest.raises(WorkError, match="no trial was made before the time was up"):
            require_best(mine)
    run(search(journal, total=2), by_rate, Progress())
    assert [row.state for row in mine.rows()] == ["complete", "complete"]


def test_a_budget_that_is_over_starts_no_trial(journal: str) -> None:
    mine = search(journal)
    assert run(mine, by_rate, Progress(), deadline=0.0)
    with pytest.raises(WorkError, match="no trial was made before the time was up"):
        require_best(mine)


def test_a_vanished_journal_is_one_line(journal: str) -> None:
    mine = search(journal)

    def evaluate(recipe, on_epoch):
        Path(journal).unlink()
        return evaluation(0.5)

    with pytest.raises(WorkError, match=r"the storage .* is gone"):
        run(mine, evaluate, Progress())


def test_storages_that_cannot_be_opened_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "damaged.log").write_text("not a journal\n\n{\n")
    for storage, words in (
        (str(tmp_path), "is not a file"),
        (str(tmp_path / "damaged.log"), "cannot open the storage"),
        ("nosuch://host/name", "cannot open the storage"),
        (f"sqlite:////{tmp_path}/none/x.db", "cannot open the storage"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            open_place(storage)
        assert "\n" not in str(caught.value)


def test_another_search_in_the_study_is_refused(journal: str) -> None:
    mine = search(journal)
    with pytest.raises(RequestError, match="was started on another space"):
        search(journal, space=space({"optimizer.lr": "auto"}))
    with pytest.raises(RequestError, match="was started on other images, targets or parts"):
        require_same(mine.study, {**mine.study.user_attrs["striate"], "data": "other"})


def test_by_how_much_a_search_flatters_itself() -> None:
    found = flattery(0.95, (0.90, 0.98), 0.90, (0.84, 0.94), maximize=True)
    assert found.by == pytest.approx(0.05) and found.interval is not None
    low, high = found.interval  # Newcombe's hybrid interval of the difference of two proportions
    assert low == pytest.approx(0.05 - (0.05**2 + 0.04**2) ** 0.5)
    assert high == pytest.approx(0.05 + (0.03**2 + 0.06**2) ** 0.5)
    error = flattery(2.0, (1.5, 2.6), 2.5, (2.1, 3.0), maximize=False)
    assert error.by == 0.5 and error.interval is not None and error.interval[0] < 0.5 < error.interval[1]
    assert flattery(0.9, None, 0.8, (0.7, 0.9), maximize=True).interval is None


def test_the_table_of_trials_is_safe_in_a_spreadsheet(journal: str) -> None:
    mine = search(journal, "cells", 1, space=space({"net.name": ["lenet5_plain"]}))

    def evaluate(recipe, on_epoch):
        raise WorkError("=1+1 is a formula")

    run(mine, evaluate, Progress())
    text = trials_csv(mine.rows(), mine.space.names)
    assert "./=1+1" in text and "lenet5_plain" in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sec/ret@host:5432/trials",
        "postgresql+psycopg://me:ab@sec/ret@host:5432/trials",
        "postgresql://me@host:5432/trials?password=sec/ret",
        "mysql://me@host:5432/trials?charset=utf8&passwd=sec/ret",
    ],
)
def test_a_password_is_not_kept_and_is_given_again(url: str, tmp_path: Path) -> None:
    settings = Settings("", storage=url, study="trials")
    assert claimed(tmp_path / "search", settings).storage == url
    kept = (tmp_path / "search" / "tuning.json").read_text()
    assert "ret" not in kept and "me@host:5432/trials" in kept
    again = dataclasses.replace(settings, storage=url.replace("sec", "other"))
    assert claimed(tmp_path / "search", again).storage == again.storage
    assert resumed(tmp_path / "search", None, url).storage == url
    assert "password" not in resumed(tmp_path / "search", 5, "").storage
    with pytest.raises(RequestError, match="leave --storage out") as caught:
        resumed(tmp_path / "search", None, "postgresql://me:secret@host/others")
    assert "secret" not in str(caught.value)
