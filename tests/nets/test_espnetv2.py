"""ESPNetv2 against its table and its authors' code, and its published weights on photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from real_data import DATA

from striate.anatomy.summary import parameters
from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.jobs.import_weights import import_weights
from striate.jobs.load import load
from striate.jobs.predict_masks import full_mask
from striate.nets.build import create
from striate.nets.espnetv2 import ROWS, SCALES, PyramidPooling
from striate.tasks.segmentation_evaluation import class_ious, confusion

WEIGHTS = DATA / "weights" / "espnetv2" / "espnetv2_s_0.5_pascal_384x384.safetensors"
COCO = DATA / "coco_small"
PERSON = 15  # of PASCAL VOC's classes; in coco_small 1, and 0 is not labelled
needs_weights = pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"needs {WEIGHTS}")


def test_maps_and_branches_are_those_of_the_table() -> None:
    with torch.device("meta"):
        net: Any = create("espnetv2_100").eval()
    found: dict[str, tuple[int, ...]] = {}
    for row in ROWS:
        net.get_submodule(row.level).register_forward_hook(
            lambda module, inputs, output, name=row.level: found.update({name: tuple(output.shape[1:])})
        )
    net(torch.empty(1, 3, 384, 384, device="meta"))
    for row in ROWS:
        assert found[row.level] == (row.channels, row.size, row.size)
        if row.units > 1:
            units = net.get_submodule(row.level).units
            assert len(units) == row.units - 1
            assert [conv.dilation[0] for conv in units[0].pyramid.branches] == [*map(int, row.dilations.split(","))]
    unused = {"espnetv2_050": 16 + 32 + 64, "espnetv2_200": 96 + 128 + 256}  # PReLU slopes that are never run there
    counts = {"espnetv2_050": 80_353, "espnetv2_200": 789_253}
    assert all(parameters(create(name)) == count - unused[name] for name, count in counts.items())


def test_the_pyramid_pools_at_five_scales() -> None:
    torch.manual_seed(0)
    pooling = PyramidPooling(6, 2).eval()
    sizes: list[tuple[int, ...]] = []
    for conv in pooling.scales:
        conv.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    assert pooling(torch.randn(1, 6, 24, 10)).shape == (1, 2, 24, 10)
    assert SCALES == (2.0, 1.5, 1.0, 0.5, 0.1) and sizes == [(48, 20), (36, 15), (24, 10), (12, 5), (5, 5)]


def test_widths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(RequestError, match=r"width 0\.25 makes 8 maps of level1, which is no multiple of 16"):
        create("espnetv2_100", options={"width": 0.25})
    with pytest.raises(RequestError, match="sides that are multiples of 16 pixels, not 32 x 40"):
        create("espnetv2_tiny")(torch.zeros(1, 3, 32, 40))


def person_iou(model: Any, photographs: list[Path]) -> tuple[float, float]:
    """At the photographs' own sizes: without unlabelled pixels, and counting them as no person."""
    left_out, counted = np.zeros((2, 2), np.int64), np.zeros((2, 2), np.int64)
    for path in photographs:
        stored = np.asarray(Image.open(COCO / "masks" / "val2017" / f"{path.stem}.png"))
        found = (full_mask(model, decoded_file(path, 0)) == PERSON).astype(np.uint8)
        person = (stored == 1).astype(np.uint8)
        counted += confusion(found, person, 2)
        left_out += confusion(found, np.where(stored == 0, np.uint8(255), person), 2)
    return float(class_ious(left_out)[1]), float(class_ious(counted)[1])


def photographs() -> list[Path]:
    masks = sorted((COCO / "masks" / "val2017").glob("*.png"))
    return [next((COCO / "images" / "val2017").glob(f"{path.stem}.*")) for path in masks]


def with_people(paths: list[Path]) -> list[Path]:
    """Those of which a tenth or more is labelled person."""
    masks = COCO / "masks" / "val2017"
    return [path for path in paths if (np.asarray(Image.open(masks / f"{path.stem}.png")) == 1).mean() > 0.1]


@needs_weights
def test_published_weights_are_imported_and_find_people(cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    code, out, err = cli("import", WEIGHTS, "--net", "espnetv2_050", "--from", "edgenets", "--out", path)
    assert code == 0 and "espnetv2_050, 21 classes" in out, err
    model = load(path, engine="torch")
    assert model.task.kind == "segmentation" and model.classes[PERSON] == "person" and len(model.classes) == 21
    assert person_iou(model, with_people(photographs()[:30])[:3])[0] > 0.5
    code, out, _ = cli("predict", path, COCO / "images" / "val2017" / "000000000785.jpg", "--out", tmp_path / "masks")
    assert code == 0 and "person" in out


@pytest.mark.slow
@needs_weights
def test_the_published_weights_have_their_person_iou(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    import_weights(WEIGHTS, net="espnetv2_050", source="edgenets", out=path)
    found = person_iou(load(path, engine="torch"), photographs())
    assert found == pytest.approx((0.717, 0.668), abs=0.002)
