"""Every code block of the documentation is run, page by page, or says why not."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documentation import PAGES, ROOT, Block, Cli, blocks, run
from named_tests import rendered_by
from PIL import Image
from records import newest, record
from scenes import scene

from striate.nets import catalog

NOT_POINTS = ("name", "note", "tensors", "facts", "restore")  # what a hook has besides the points of the loop
NOTEBOOK = ROOT / "docs" / "first_hour.ipynb"
# The first hour is run as its notebook, which holds the same code.
RUN = [page for page in PAGES if page.stem != NOTEBOOK.stem and any(block.is_run for block in blocks(page))]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def _places(photos: Path, root: Path) -> None:
    """What the pages name: photos/ with a copy in it, two manifests of them, new.jpg, and images of other things."""
    for source in sorted(photos.rglob("*.jpg")):
        part, name = source.relative_to(photos).parts[:2]
        (root / "photos" / part / name).mkdir(parents=True, exist_ok=True)
        count = len(list((root / "photos" / part / name).iterdir()))
        shutil.copyfile(source, root / "photos" / part / name / f"{count:02d}.jpg")
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
    shutil.copyfile(images[0], root / "new.jpg")
    shutil.copyfile(images[0], images[0].with_name("copy.jpg"))
    (root / "other").mkdir()
    for number in range(6):
        scene(1, 500 + number).save(root / "other" / f"{number}.png")


@pytest.fixture(scope="module")
def place(photos: Path, test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all data that the pages name; each page is run in a copy."""
    from striate.data.sources.named import faces

    root = tmp_path_factory.mktemp("docs")
    _places(photos, root)
    (root / "hymenoptera").symlink_to(test_data / "hymenoptera")
    source = faces()
    Image.open(Path(source.identity) / source.items[0].key).save(root / "face.png")
    return root


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks that a page registers, and the modules that it imports from its folder, go with it."""
    monkeypatch.setattr(catalog, "_own", {})
    monkeypatch.setattr(catalog, "_short_names", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_net", None)


def _module(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a new module, in which a page is run as in a script."""
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    return module.__dict__


# They train several times.
LONG = {"practitioner.md", "quickstart.md", "training.md"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(page, id=page.relative_to(ROOT).as_posix(), marks=[pytest.mark.slow] if page.name in LONG else [])
        for page in RUN
    ],
)
def test_the_blocks_of_a_page_run(
    path: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    wanted = [block for block in blocks(path) if block.is_run]
    folder = tmp_path / "page"
    if any(re.search(r"photos|hymenoptera|insects|new\.jpg|face\.png", block.text) for block in wanted):
        shutil.copytree(request.getfixturevalue("place"), folder, symlinks=True)
    else:
        folder.mkdir()
    monkeypatch.chdir(folder)
    namespace = _module(monkeypatch)
    for block in wanted:
        run(block, cli, namespace)
    if path.stem == "README":
        _export_predicts_as_the_model(namespace)


def _export_predicts_as_the_model(namespace: dict[str, Any]) -> None:
    prediction, probabilities = namespace["prediction"], namespace["probabilities"][0]
    assert prediction.label == namespace["classes"][probabilities.argmax()] == "face"
    assert abs(prediction.confidence - probabilities.max()) <= 0.02


def test_the_notebook_runs(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace = _module(monkeypatch)
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    for number, cell in enumerate(cell for cell in cells if cell["cell_type"] == "code"):
        run(Block(NOTEBOOK, number, "python", "".join(cell["source"]), "run"), cli, namespace)
    accuracy = namespace["accuracy"]
    assert isinstance(accuracy, float) and accuracy > 0.7


def test_the_notebook_is_rendered_from_its_page() -> None:
    assert NOTEBOOK.read_text("utf-8") == rendered_by("render_notebook"), "run python docs/render_notebook.py"


def test_every_block_is_run_or_says_why_not() -> None:
    unmarked = [block.where for path in PAGES for block in blocks(path) if not (block.is_run or block.is_explained)]
    assert unmarked == [], "put <!-- run --> or <!-- not run: the reason --> above these blocks"


def test_the_page_on_training_names_every_hook_and_every_key_of_the_loop() -> None:
    from striate.recipe import keys_called
    from striate.training.hooks import Hook

    text = page("training.md")
    points = [name for name in vars(Hook) if not name.startswith("_") and name not in NOT_POINTS]
    assert all(re.search(rf"^ *{point}\b", text, flags=re.MULTILINE) for point in points)
    tables = ("optimizer", "schedule", "loss", "train")
    keys = {key.field for key in keys_called() if key.table in tables} - {"name", "epochs", "overfit_batch"}
    assert [key for key in sorted(keys) if not re.search(rf"[`.]{key}\b", text)] == []


def test_the_page_names_every_named_set() -> None:
    from striate.data.sources.named import NAMED

    assert all(f"`{name}`" in page("data.md") for name in NAMED)


def test_make_test_builds_the_site() -> None:
    """Warnings are errors there: a broken link, a page that no list of pages names, a docstring that cannot be read."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^test: checks$", makefile, flags=re.MULTILINE)
    assert re.search(r"^checks:.*\n\t\$\(MAKE\) .*\bdocs$", makefile, flags=re.MULTILINE)
    assert re.search(r"sphinx-build .*-W\b", makefile)


def test_the_table_of_int8_is_the_record() -> None:
    rows = {row["what"]: row for row in record("int8")["rows"]}
    said = page("practitioner.md")
    assert newest("int8").name in said
    for title, net in (
        ("ResNet-18", "resnet18"),
        ("ResNet-50", "resnet50"),
        ("MobileNetV2", "mobilenet_v2"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
    ):
        one, many = rows[f"{net}, 1 image"], rows[f"{net}, 16 images"]
        figures = (one["times bfloat16's speed"], many["times bfloat16's speed"], many["times float32's speed"])
        assert f"| {title} | " + " | ".join(f"{value:.2f}" for value in figures) + " |" in said
        assert min(figures[:2]) >= one["goal over bfloat16"]
