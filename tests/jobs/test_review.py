"""What a reviewer found: data written over, few units, figures that are none, thresholds that saw held-out images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from documentation import Cli

from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.jobs.audit import audit
from striate.jobs.train import train
from striate.recipe import Recipe


def _manifest(path: Path, photos: Path, column: str, says: object, **more: object) -> Path:
    """A manifest of the training photographs. says, more: from a file and its number to what stands in a column."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", column, *more])
        for number, photo in enumerate(sorted((photos / "train").rglob("*.jpg"))):
            rows.writerow([photo, *(each(photo, number) for each in (says, *more.values()))])  # type: ignore[operator]
    return path


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_fewer_groups_than_search_folds_are_learnt_from(photos: Path, tmp_path: Path, cli: Cli, groups: int) -> None:
    data = _manifest(
        tmp_path / "few.csv", photos, "label", lambda photo, n: photo.parent.name, group=lambda photo, n: n % groups
    )
    code, _, errors = cli("train", str(data), "--out", str(tmp_path / "run"))
    assert code == 0, errors
    code, _, errors = cli("audit", str(data), "--labels")
    assert code == 0, errors


def test_asking_for_more_folds_than_groups_is_still_refused(photos: Path, tmp_path: Path) -> None:
    data = _manifest(
        tmp_path / "few.csv", photos, "label", lambda photo, n: photo.parent.name, group=lambda photo, n: n % 3
    )
    with pytest.raises(RequestError, match="5 folds need"):
        train(data, out=tmp_path / "run", recipe=Recipe().updated({"data.folds": 5}))


def test_thresholds_do_not_depend_on_held_out_labels(photos: Path, tmp_path: Path) -> None:
    found = []
    one, other = sorted(entry.name for entry in (photos / "train").iterdir())
    for held_says in (other, f"{one}|{other}"):
        data = tmp_path / f"{len(held_says)}.csv"
        _manifest(
            data, photos, "labels",
            lambda photo, n, held=held_says: held if n % 4 == 0 else photo.parent.name,
            split=lambda photo, n: "val" if n % 4 == 0 else "train",
        )  # fmt: skip
        learned = train(
            data,
            out=tmp_path / f"run {len(found)}",
            recipe=Recipe().updated({"strategy": "features", "inference.precision": "float32"}),
        )
        found.append(learned.model.task.decision_thresholds)
    assert len(set(found[0])) > 0 and found[0] == found[1]


def test_json_of_folds_without_a_label_is_json(photos: Path, tmp_path: Path, cli: Cli) -> None:
    data = _manifest(tmp_path / "one.csv", photos, "labels", lambda photo, n: "x" if n == 0 else "")
    code, out, errors = cli("train", str(data), "--folds", "3", "--out", str(tmp_path / "run"), "--json")
    assert code == 0, errors

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    folds = json.loads(out, parse_constant=refuse)["folds"]
    assert folds["scores"].count(None) == 2 and folds["mean"] is not None
    for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines():
        json.loads(line, parse_constant=refuse)


def test_nothing_to_measure_labels_on_is_said_in_words(photos: Path, tmp_path: Path, cli: Cli) -> None:
    data = _manifest(tmp_path / "one.csv", photos, "labels", lambda photo, n: "x" if n == 0 else "")
    code, out, errors = cli("train", str(data), "--out", str(tmp_path / "run"))
    assert code == 0, errors
    assert "nan" not in out and "not measured: none of the" in out
    assert "with 1 label\n" in errors


def test_class_names_stay_on_their_line(photos: Path, tmp_path: Path, cli: Cli) -> None:
    data = _manifest(tmp_path / "lines.csv", photos, "label", lambda photo, n: f"{photo.parent.name}\nx")
    code, out, errors = cli("train", str(data), "--out", str(tmp_path / "run"))
    assert code == 0, errors
    assert "ants\\nx" in out or "discs\\nx" in out


@pytest.mark.parametrize("option", ["--fix-list", "--html"])
def test_audit_does_not_write_over_its_manifest(photos: Path, tmp_path: Path, cli: Cli, option: str) -> None:
    data = _manifest(tmp_path / "data.csv", photos, "label", lambda photo, n: photo.parent.name)
    before = data.read_bytes()
    code, _, errors = cli("audit", str(data), option, str(tmp_path / "." / "data.csv"))
    assert (code, errors.count("\n")) == (2, 1) and "not overwritten" in errors
    assert data.read_bytes() == before


def test_audit_writes_page_and_decisions_to_two_files(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="name two files"):
        audit(photos, html=tmp_path / "a", fix_list=tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_sheet_does_not_replace_an_image(tmp_path: Path, cli: Cli) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(np.full((80, 80, 3), ord(name), np.uint8)).save(tmp_path / "data" / name / "one.png")
    image = tmp_path / "data" / "a" / "one.png"
    before = image.read_bytes()
    code, _, errors = cli("augment", str(tmp_path / "data"), "--out", str(image))
    assert code == 2 and "not overwritten" in errors
    assert image.read_bytes() == before


@pytest.mark.parametrize("name", ["model.safetensors", "report.html", "log.jsonl"])
def test_a_comparison_does_not_replace_a_file_of_a_run(photos: Path, tmp_path: Path, cli: Cli, name: str) -> None:
    for run in ("one", "two"):
        train(photos, out=tmp_path / run)
    before = (tmp_path / "one" / name).read_bytes()
    runs = [str(tmp_path / run) for run in ("one", "two")]
    code, _, errors = cli("compare", *runs, "--out", str(tmp_path / "one" / name))
    assert (code, errors.count("\n")) == (2, 1) and "belongs to the run" in errors
    assert (tmp_path / "one" / name).read_bytes() == before


def test_damaged_records_of_a_run_are_one_line_or_left_out(photos: Path, tmp_path: Path, cli: Cli) -> None:
    for run in ("one", "two"):
        train(photos, out=tmp_path / run)
    runs = [str(tmp_path / run) for run in ("one", "two")]
    (tmp_path / "one" / "log.jsonl").write_text('{"event": "done"}\n[1]\nnonsense', "utf-8")
    assert cli("compare", *runs, "--out", str(tmp_path / "page.html"))[0] == 0
    (tmp_path / "one" / "split.csv").write_text('path,part\n"' + "x" * 200_000, "utf-8")
    code, _, errors = cli("compare", *runs, "--out", str(tmp_path / "page.html"))
    assert (code, errors.count("\n")) == (2, 1) and "split.csv" in errors


def test_strangers_in_a_folder_that_cannot_be_named(photos: Path, tmp_path: Path, cli: Cli) -> None:
    code, _, errors = cli("train", str(photos), "--ood", "n" * 300, "--out", str(tmp_path / "run"))
    assert code == 2 and "is too long for a file name" in errors.splitlines()[-1]


def test_what_the_audit_suggests_of_labels_can_be_decided(photos: Path, tmp_path: Path) -> None:
    files = sorted((photos / "train").rglob("*.jpg"))[:6]
    copies = []
    for number in range(3):
        copies.append(tmp_path / f"copy{number}.jpg")
        copies[-1].write_bytes(files[0].read_bytes())
    data, fixes = tmp_path / "data.jsonl", tmp_path / "fixes.csv"
    said = [
        (copies[0], ["a", "b"]),
        (copies[1], ["a", "b"]),
        (copies[2], ["a"]),
        *((file, ["b"]) for file in files[1:]),
    ]

    def row(file: Path, labels: list[str]) -> dict[str, object]:
        return {"path": str(file), "labels": labels, "split": "val" if file == copies[2] else "train"}

    data.write_text("\n".join(json.dumps(row(*one)) for one in said), "utf-8")
    audit(data, fix_list=fixes)
    with fixes.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    wrong = next(line for line in lines if line["path"] == str(copies[2]))
    assert wrong["suggested"] == "relabel a|b"
    wrong |= {"decision": "relabel", "to": wrong["suggested"].removeprefix("relabel ")}
    with fixes.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, list(wrong))
        rows.writeheader()
        rows.writerow(wrong)
    source, _ = apply_decisions(open_source(data), read_decisions(fixes))
    assert {item.target for item in source.items if "copy" in item.key} == {(0, 1)}


def test_settings_of_another_strategy_are_told(photos: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["--epochs", "3", "--augment", "flip=0.5", "--strategy", "features", "--out", str(tmp_path / "run")]
    code, _, errors = cli("train", str(photos), *arguments)
    assert code == 0 and "not used by the strategy features: augment.flip, train.epochs" in errors


def test_a_wrong_augmentation_is_refused_whatever_the_strategy(photos: Path, tmp_path: Path, cli: Cli) -> None:
    code, _, errors = cli("train", str(photos), "--augment", "flop=1", "--out", str(tmp_path / "run"))
    assert (code, errors.count("\n")) == (2, 1) and "unknown key 'flop' in [augment]" in errors
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_the_decisions_byte_for_byte_and_takes_them_away_if_it_fails(photos: Path, tmp_path: Path) -> None:
    first = sorted((photos / "train").rglob("*.jpg"))[0].relative_to(photos).as_posix()
    fixes = tmp_path / "fixes.csv"
    fixes.write_bytes(f'path,decision,to\r\n{first},drop,\r\n"a\r\nb",drop,\r\n'.encode())
    train(photos, out=tmp_path / "run", recipe=Recipe().updated({"data.decisions": str(fixes)}))
    assert (tmp_path / "run" / "decisions.csv").read_bytes() == fixes.read_bytes()
    with pytest.raises(RequestError, match="is not a folder"):
        train(
            photos,
            out=tmp_path / "failed",
            recipe=Recipe().updated({"data.decisions": str(fixes), "data.ood": "nowhere"}),
        )
    assert not (tmp_path / "failed").exists()


def test_the_curve_watches_val_and_leaves_test_to_the_end(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 2
    images = (generator.integers(0, 60, (96, 32, 32)) + 150 * labels[:, None, None]).astype(np.uint8)
    parts = {"train": slice(0, 64), "val": slice(64, 80), "test": slice(80, 96)}
    arrays = {f"x_{part}": images[rows] for part, rows in parts.items()}
    arrays |= {f"y_{part}": labels[rows] for part, rows in parts.items()}
    arrays["y_test"] = 1 - arrays["y_test"]  # only who looked at the test part early would see this in the curve
    np.savez(tmp_path / "three.npz", **arrays)
    run = train(
        tmp_path / "three.npz", out=tmp_path / "run", net="lenet5_plain", strategy="scratch", epochs=4,
        recipe=Recipe().updated({"augment": {"preset": "none"}}),
    )  # fmt: skip
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    watched = [line["accuracy"] for line in log if line["event"] == "epoch"]
    assert run.evaluation.part == "test" and run.evaluation.score < 0.5 < watched[-1]


def test_a_net_that_cannot_tell_strangers_is_refused_before_it_learns(photos: Path, tmp_path: Path, cli: Cli) -> None:
    arguments = ["--net", "lenet5", "--ood", str(photos), "--epochs", "1", "--out", str(tmp_path / "run")]
    code, _, errors = cli("train", "mnist-5k", *arguments)
    assert code == 2 and "does not end in a linear layer" in errors
    assert "Training" not in errors and "grey" not in errors


@pytest.mark.parametrize(("counts", "said"), [((9, 10), False), ((5, 10), True)])
def test_a_balance_that_is_even_is_not_multiplied(tmp_path: Path, counts: tuple[int, int], said: bool) -> None:
    from PIL import Image

    for name, count in zip("ab", counts, strict=True):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (20, 20), (number, ord(name), 0)).save(tmp_path / name / f"{number}.png")
    assert ("times as many" in audit(tmp_path).balance()) == said


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_folds_from_scratch_are_answered_by_the_engine_that_is_named(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.inference import predictor

    opened = []
    real = predictor.open_engine
    monkeypatch.setattr(
        predictor,
        "open_engine",
        lambda model, name, how, *, many: opened.append(name) or real(model, name, how, many=many),
    )
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", images=generator.integers(0, 255, (40, 32, 32), np.uint8), labels=np.arange(40) % 2)
    recipe = Recipe().updated(
        {
            "inference.engine": engine,
            "data.folds": 2,
            "augment": {"preset": "none"},
            "strategy": "scratch",
            "net.name": "lenet5_plain",
            "train.epochs": 1,
        }
    )
    run = train(tmp_path / "a.npz", out=tmp_path / "run", recipe=recipe)
    assert len(opened) >= 3 and set(opened) == {engine}
    assert run.metrics["engine"].startswith(engine)
