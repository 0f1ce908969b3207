"""Every command that the documentation shows is run, in order, on real photographs where they are at hand."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from scenes import scene

NOT_POINTS = ("name", "note", "tensors", "facts", "restore")  # what a hook has beside the points of the loop
PAGES = {page.name: page.read_text("utf-8") for page in sorted((Path(__file__).parents[1] / "docs").glob("*.md"))}
BLOCKS = [
    block for text in PAGES.values() for block in re.findall(r"<!-- run -->\n```\n(.*?)```", text, flags=re.DOTALL)
]
PYTHON = [
    block
    for text in PAGES.values()
    for block in re.findall(r"<!-- run python -->\n```python\n(.*?)```", text, flags=re.DOTALL)
]


@pytest.fixture(scope="module")
def place(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/ with a copy in it, two manifests of them, and a folder of strangers."""
    root = tmp_path_factory.mktemp("docs")
    for source in sorted(photos.rglob("*.jpg")):
        part, name = source.relative_to(photos).parts[:2]
        (root / "photos" / part / name).mkdir(parents=True, exist_ok=True)
        count = len(list((root / "photos" / part / name).iterdir()))
        shutil.copyfile(source, root / "photos" / part / name / f"{count:02d}.jpg")
    names = sorted(entry.name for entry in (root / "photos" / "train").iterdir())
    if "bees" not in names:  # made-up scenes stand in for the insects
        for part in ("train", "val"):
            (root / "photos" / part / names[0]).rename(root / "photos" / part / "bees")
    images = sorted((root / "photos").rglob("*.jpg"))
    with open(root / "insects.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "labels", "split"])
        for number, path in enumerate(images):
            relative = path.relative_to(root)
            labels = [relative.parts[2], "even"] if number % 2 == 0 else [relative.parts[2]]
            rows.writerow([relative.as_posix(), "|".join(labels), relative.parts[1]])
    with open(root / "sizes.jsonl", "w") as file:
        for path in images:
            with Image.open(path) as image:
                width = image.width
            file.write(json.dumps({"path": path.relative_to(root).as_posix(), "number:width": width}) + "\n")
    shutil.copyfile(images[0], images[0].with_name("copy.jpg"))
    (root / "strangers").mkdir()
    for number in range(6):
        scene(1, 500 + number).save(root / "strangers" / f"{number}.png")
    return root


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("#")[0].strip() for block in BLOCKS])
def test_commands_run(
    block: str, place: Path, cli: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    for line in block.strip().splitlines():
        command, *arguments = shlex.split(line, comments=True)
        assert command == "striate"
        code, out, err = cli(*arguments)
        assert code == 0, f"{line}\n{err}"
        assert out.strip()


@pytest.mark.parametrize("block", PYTHON, ids=[block.splitlines()[0] for block in PYTHON])
def test_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "a page of the documentation", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.strip()


def test_the_page_on_training_names_every_hook_and_every_key_of_the_loop() -> None:
    from striate.recipe import keys_called
    from striate.training.hooks import Hook

    page = PAGES["training.md"]
    points = [name for name in vars(Hook) if not name.startswith("_") and name not in NOT_POINTS]
    assert all(re.search(rf"^ *{point}\b", page, flags=re.MULTILINE) for point in points)
    tables = ("optimizer", "schedule", "loss", "train")
    keys = {key.field for key in keys_called() if key.table in tables} - {"name", "epochs", "overfit_batch"}
    assert [key for key in sorted(keys) if not re.search(rf"[`.]{key}\b", page)] == []


def test_the_page_names_every_named_set() -> None:
    from striate.data.sources.named import NAMED

    assert all(f"`{name}`" in PAGES["data.md"] for name in NAMED)
