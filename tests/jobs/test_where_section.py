"""The section of a report that shows where the network looks in its worst errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.jobs.reporting.where import where_section
from striate.model import Model
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.sections import MapPictures, spoken
from striate.tasks import Classification, Multilabel, Regression, Task
from striate.tasks.report_common import Example

NAMES = ("red", "green", "blue")


def model_of(name: str, task: Task) -> Model:
    torch.manual_seed(0)
    net = create(name, classes=len(task.names))
    channels = net.in_channels
    tensors, aliases = arrays_of(net)
    pixels = Pixels(32, 32, channels, mean=(120.0,) * channels, std=(60.0,) * channels)
    return Model(name, net.options, task, pixels, tensors, "head", aliases=aliases)


def examples(count: int, channels: int = 3) -> tuple[Example, ...]:
    draws = np.random.default_rng(0)
    shape = (32, 32, 3) if channels == 3 else (32, 32)
    return tuple(Example(row, f"{row}.png", draws.integers(0, 256, shape, np.uint8)) for row in range(count))


@pytest.mark.parametrize(
    ("task", "targets", "maps"),
    [
        (Classification(NAMES), np.array([1, 2, 1, 2, 1]), 8),
        (Multilabel(NAMES), np.zeros((5, 3), np.float32), 4),
        (Regression(("age",)), np.ones(5), 4),
    ],
    ids=lambda value: value.kind if isinstance(value, Task) else "",
)
def test_the_worst_errors_have_exact_maps(task: Task, targets: np.ndarray, maps: int) -> None:
    predictions = np.tile(np.eye(len(task.names), dtype=np.float32)[0], (5, 1))
    evaluation = task.evaluate("val", predictions, targets)
    section = where_section(model_of("resnet8", task), evaluation, examples(5))
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, MapPictures) and len(block.pictures) == maps
    scales = {id(picture.scale) for picture in block.pictures}
    largest = max(float(np.abs(picture.values).max()) for picture in block.pictures if picture.values is not None)
    assert len(scales) == 1 and block.pictures[0].scale is not None and block.pictures[0].scale.limit == largest
    assert spoken(block.pictures[0].caption) == f"0.png: for {task.names[0]}, the predicted {task.wording.one}"


def test_no_section_without_an_exact_map() -> None:
    task = Classification(NAMES)
    evaluation = task.evaluate("val", np.tile(np.float32([1, 0, 0]), (2, 1)), np.array([1, 2]))
    assert where_section(model_of("lenet5_plain", task), evaluation, examples(2, 1)) is None
    assert where_section(model_of("resnet8", task), evaluation, ()) is None
