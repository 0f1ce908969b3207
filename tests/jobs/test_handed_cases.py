"""Small inputs that failed for users of other tools, each taken the way a user would, and what is right for it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import audit, load
from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import open_source
from striate.pixels import decode


@pytest.fixture
def case(test_data: Path, tmp_path: Path, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    """A copy of a case's folder, by its name."""
    root = test_data.parent / "cases"
    if not root.is_dir():
        pytest.skip(f"no cases: {root} is not there")

    def copied(name: str) -> Path:
        to = tmp_path / name
        shutil.copytree(root / name, to)
        for path in [to, *to.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        return to

    return copied


USED = {  # folder of the case: conversions told, images usable
    "depth_12_in_16/data": ("few-bits", 8),
    "float_nodata/data": ("high-range", 7),
    "idx_kaggle_folders/data": ("grey", 33),
    "jpeg_no_eoi/data": ("unfinished", 6),
    "npz_labels_n_1/data.npz": ("grey", 42),
    "photo_200mp/data": ("reduced", 5),
    "png_broken_metadata/data": ("metadata", 8),
    "tiff_miniswhite16/data": ("16-bit", 6),
    "tiff_rgb16_planar/data": ("16-bit", 7),
    "webp_broken_exif/data": ("metadata", 5),
}
REFUSED = {  # images that cannot be read: the words that say what they are, how many
    "eps_named_jpg/data": ("a PostScript drawing", 1),
    "heic/data": ("a HEIC photograph", 4),
    "jpeg_12_bit/data": ("a JPEG of a kind that is not read", 3),
    "tiff_kinds_unknown/data": ("a TIFF of a kind that is not read (5 bands", 1),
}
CLASSES = {  # what is read: classes, parts
    "layout_training_set/data": (("ants", "bees"), {"train", "test"}),
    "layout_unlabelled_test/data": (("ants", "bees"), {""}),
    "manifest_excel_sep/sep.csv": (("ants", "bees"), {""}),
    "manifest_label_separators/comma.csv": (("ants", "bees", "insect"), {""}),
    "manifest_label_separators/list.csv": (("ants", "bees", "insect"), {""}),
    "manifest_label_separators/semicolon.csv": (("ants", "bees", "insect"), {""}),
    "manifest_misleading_hints/onehot.csv": (("ants", "bees"), {""}),
    "manifest_nan_labels/nan.csv": (("ants", "bees"), {""}),
    "manifest_nan_labels/na.csv": (("ants", "bees"), {""}),
    "manifest_split_eval/eval.csv": (("ants", "bees"), {"train", "val"}),
    "names_case/data": (("Ants", "Bees"), {"train", "val"}),
    "names_nfc_nfd/data": (("abeilles-\u00e9", "ants"), {"train", "val"}),
    "class_with_newline/labels.csv": (("ants\nred", "bees\nred"), {""}),
}
ANSWERED = {  # refused in one line that says what would do
    "layout_images_and_csv/data": "labels.csv'?",
    "layout_val_test_only/data": "no folder train",
    "layout_wrapper/data": "data/dataset'",
    "layout_wrapper/data2": "data2/train'",
    "manifest_misleading_hints/fer.csv": "holds the pixels themselves",
    "manifest_misleading_hints/labelstudio.csv": "an export of Label Studio",
    "manifest_misleading_hints/noheader.csv": "no header line",
}


@pytest.mark.parametrize("name", USED)
def test_images_that_can_be_used_are_used_and_told(name: str, case, cli) -> None:  # type: ignore[no-untyped-def]
    folder, _, inner = name.partition("/")
    conversion, usable = USED[name]
    found = audit(case(folder) / inner)
    assert len(found.usable) == usable and not found.set_aside
    assert conversion in {finding.kind for finding in found.findings}


@pytest.mark.parametrize("name", REFUSED)
def test_images_that_are_not_read_are_named_in_every_verb(name: str, case, cli) -> None:  # type: ignore[no-untyped-def]
    folder, _, inner = name.partition("/")
    words, count = REFUSED[name]
    data = case(folder) / inner
    code, out, err = cli("audit", data)
    assert code == 0 and words in out and f"{count} not-read" in out
    refused = [data / oddity.path for oddity in audit(data).set_aside]
    code, out, err = cli("predict", "efficientnet_lite0", refused[0])
    assert code == 2 and words in out + err and "Traceback" not in out + err


@pytest.mark.parametrize("name", CLASSES)
def test_layouts_and_tables_are_read_as_people_mean_them(name: str, case) -> None:  # type: ignore[no-untyped-def]
    folder, _, inner = name.partition("/")
    classes, parts = CLASSES[name]
    found = audit(case(folder) / inner)
    assert found.classes == classes
    assert {entry.item.part for entry in found.usable} == parts


@pytest.mark.parametrize("name", ANSWERED)
def test_what_cannot_be_read_is_answered_with_what_would_do(name: str, case, cli) -> None:  # type: ignore[no-untyped-def]
    folder, _, inner = name.partition("/")
    code, out, err = cli("audit", case(folder) / inner)
    assert code == 2 and out == "" and ANSWERED[name] in err and err.count("\n") == 1
    assert "did you mean 'path'" not in err and "lead_time" not in err


@pytest.mark.parametrize("name", ["planar_le.tif", "planar_be.tif", "planar_rgba.tif"])
def test_planar_16_bit_looks_like_its_reference(name: str, case) -> None:  # type: ignore[no-untyped-def]
    root = case("tiff_rgb16_planar")
    found = np.asarray(decode((root / "data" / "bees" / name).read_bytes()).image).astype(int)
    with Image.open(root / "reference.png") as reference:
        assert np.abs(found - np.asarray(reference.convert("RGB"))).max() <= 1


def test_white_as_zero_looks_the_same_in_16_and_8_bits(case) -> None:  # type: ignore[no-untyped-def]
    folder = case("tiff_miniswhite16") / "data" / "bees"
    wide, right = (
        np.asarray(decode((folder / f"white_is_zero_{name}.tif").read_bytes()).image).astype(int)
        for name in ("16", "8_right")
    )
    assert np.abs(wide - right).max() <= 1


def test_decisions_find_images_however_their_paths_are_spelled(case) -> None:  # type: ignore[no-untyped-def]
    root = case("decisions_spelling")
    source, _ = apply_decisions(open_source(root / "data"), read_decisions(root / "decisions.csv"))
    assert sorted(oddity.path for oddity in source.oddities) == ["ants/00.jpg", "ants/01.jpg", "ants/02.jpg"]
    assert {oddity.kind for oddity in source.oddities} == {"dropped"}


def test_a_locked_folder_is_named_and_the_rest_is_used(case, cli) -> None:  # type: ignore[no-untyped-def]
    root = case("locked_subfolder") / "data"
    (root / "wasps").chmod(0)
    try:
        if os.access(root / "wasps", os.R_OK):
            pytest.skip("this user may read everything: test_layouts.py has the same with an injected error")
        code, out, _ = cli("audit", root)
    finally:
        (root / "wasps").chmod(0o755)
    assert code == 0 and "wasps" in out and "cannot list" in out


def test_class_lists_with_a_mark_are_read_and_names_given_twice_refused(case, test_data, cli, tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = case("import_classes_file")
    weights = test_data / "weights" / "resnet20-12fca82f.th"
    if not weights.is_file():
        pytest.skip(f"no weights: {weights} is not there")
    asked = ("import", weights, "--net", "resnet20", "--from", "akamaster")
    code, _, err = cli(*asked, "--classes", root / "bom.txt", "--out", tmp_path / "model.safetensors")
    assert code == 0, err
    assert load(tmp_path / "model.safetensors").classes[0] == "airplane"
    code, _, err = cli(*asked, "--classes", root / "twice.txt", "--out", tmp_path / "none.safetensors")
    assert code == 2 and "twice" in err and not (tmp_path / "none.safetensors").exists()


@pytest.mark.parametrize("name", ["eps.jpg", "i16.png", "f.tif", "l.webp", "sb.jpg"])
def test_small_files_that_cost_much_are_refused_by_their_headers(name: str, case, cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = cli("predict", "efficientnet_lite0", case("bounds") / name)
    assert code == 2 and name in out + err and "Traceback" not in out + err


def test_grey_images_are_no_finding_for_a_net_that_takes_grey(cli, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for place, name in enumerate(("dark", "light")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(12):
            shade = np.random.default_rng(100 * place + number).integers(0, 120, (20, 20), dtype=np.uint8)
            Image.fromarray(shade + 130 * np.uint8(place)).save(tmp_path / "set" / name / f"{number}.png")
    code, _, err = cli(
        "train",
        tmp_path / "set",
        "--strategy",
        "scratch",
        "--net",
        "lenet5_plain",
        "--epochs",
        1,
        "--out",
        tmp_path / "run",
    )
    assert code == 0, err
    found = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert "grey" not in {finding["kind"] for finding in found["findings"]}
    assert "grey" in {finding.kind for finding in audit(tmp_path / "set").findings}
