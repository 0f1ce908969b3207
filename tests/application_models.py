"""Models of boxes, masks, captions, lines and style with random weights, for tests that need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from striate.model import Model
from striate.nets.build import create, create_for
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.styling.fast_net import FastNet, write_fast_net
from striate.tasks import Classification, Task
from striate.tasks.captioning import Captioning
from striate.tasks.detection import Detection
from striate.tasks.segmentation import Segmentation

NAMES = ("ant", "bee", "cow")  # of boxes
WORDS = ("<end>", "<unknown>", "a", "red", "disc", "on", "grey")


def box_model() -> Model:
    """fcos_lite_tiny for 3 classes, whose scores spread from 0 to 1, on images of 64 x 64 pixels."""
    torch.manual_seed(5)
    task = Detection(NAMES)
    net = create_for(task, "fcos_lite_tiny")
    with torch.no_grad():
        for layer in (net.head.classes, net.head.boxes):  # type: ignore[union-attr]
            assert isinstance(layer, nn.Conv2d)
            layer.weight.mul_(60)
        net.head.classes.bias.fill_(0.0)  # type: ignore[union-attr, operator]
        net.head.centreness.bias.fill_(2.0)  # type: ignore[union-attr, operator]
    return _model(net, "fcos_lite_tiny", task)


def mask_model() -> Model:
    """fcn_lite_tiny for 3 classes."""
    torch.manual_seed(6)
    task = Segmentation(("background", "ant", "bee"))
    return _model(create_for(task, "fcn_lite_tiny"), "fcn_lite_tiny", task)


def caption_model(name: str = "show_attend_tell_lite_tiny", strong: float = 1) -> Model:
    """A captioner for 5 words, with a beam of 2. strong: what the weights of its decoder are multiplied with."""
    torch.manual_seed(7)
    task = Captioning(WORDS)
    net = create_for(task, name)
    with torch.no_grad():
        for parameter in net.head.parameters():  # type: ignore[union-attr]
            parameter.mul_(strong)
    return _model(net, name, task)


def _model(net: nn.Module, name: str, task: Task) -> Model:
    tensors, aliases = arrays_of(net)
    pixels = Pixels(64, 64, 3, rule="squash", mean=(120.0,) * 3, std=(60.0,) * 3)
    options = net.options  # type: ignore[attr-defined]
    return Model(name, options, task, pixels, tensors, head="", aliases=aliases, metrics={"precision": "float32"})


def photograph(number: int, size: tuple[int, int] = (120, 80)) -> np.ndarray:  # type: ignore[type-arg]
    """A smooth coloured image, uint8 [height, width, 3]."""
    generator = np.random.default_rng(number)
    width, height = size
    rows, columns = np.mgrid[:height, :width] / max(size)
    waves = [np.sin(9 * generator.random() * rows + 9 * generator.random() * columns + number) for _ in range(3)]
    return np.uint8(127 + 120 * np.stack(waves, -1))


def line_model() -> Model:
    """lenet5_plain for windows of digits, or of none; its scores change along a line."""
    torch.manual_seed(0)
    net = create("lenet5_plain", classes=11, input_size=(32, 32))
    with torch.no_grad():
        net.head.weight.mul_(200)  # type: ignore[union-attr, operator]
    tensors, aliases = arrays_of(net)
    pixels = Pixels(32, 32, 1, rule="centre", mean=(127.5,), std=(127.5,))
    task = Classification((*map(str, range(10)), "none"))
    return Model("lenet5_plain", net.options, task, pixels, tensors, head="head", aliases=aliases,
                 metrics={"precision": "float32"})  # fmt: skip


def line_picture(strokes: int = 4) -> np.ndarray:  # type: ignore[type-arg]
    """Dark strokes on paper, uint8 [40, W]."""
    picture = np.full((40, 30 + 26 * strokes), 245, np.uint8)
    for place in range(strokes):
        left = 20 + 26 * place
        picture[8:32, left : left + 5] = 10
        picture[8 + 5 * place : 13 + 5 * place, left : left + 16] = 10
    return picture


def style_weights(path: Path) -> Path:
    """The file of a small fast style net with random weights."""
    torch.manual_seed(3)
    write_fast_net(path, FastNet(2))
    return path
