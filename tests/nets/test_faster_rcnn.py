"""Faster R-CNN: the paper's size, proposals and samples, and training on drawn images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.boxes import box_iou
from striate.nets.build import create
from striate.nets.faster_rcnn import ROWS, FasterRCNN, Objects, Settings

SMALL = Settings(
    scales=(16, 32), ratios=(1,), sampled=32, regions=16, least=4.0, proposed=(100, 20), proposed_in_training=(100, 20)
)


def test_with_vgg16_it_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        vgg = create("vgg16")
        convolutions = [module for module in vgg.modules() if isinstance(module, nn.Conv2d)]
        net = FasterRCNN(nn.Sequential(*convolutions), 512)
    assert sum(one.numel() for one in net.body.parameters()) == 14_714_688
    assert sum(one.numel() for one in net.rpn.parameters()) == 2_387_510
    assert sum(one.numel() for one in net.parameters()) == 137_078_239
    assert [row.part for row in ROWS if row.layer == "linear"] == ["fc6", "fc7", "classes", "boxes"]


def tiny(classes: int = 3) -> FasterRCNN:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for given, out in ((3, 8), (8, 16), (16, 16)):
        layers += [nn.Conv2d(given, out, 3, stride=2, padding=1), nn.ReLU()]
    return FasterRCNN(nn.Sequential(*layers), 16, classes=classes, stride=8, width=16, hidden=32, settings=SMALL)


def scenes(count: int) -> tuple[Tensor, list[Objects]]:
    """Dark images of a bright square in one of two colours; every fifth is empty."""
    generator = torch.Generator().manual_seed(1)
    images, objects = torch.zeros(count, 3, 64, 64), []
    for number, image in enumerate(images):
        if number % 5 == 4:
            objects.append(Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)))
            continue
        x, y, side = (
            int(torch.randint(low, high, (), generator=generator)) for low, high in ((4, 36), (4, 36), (16, 26))
        )
        image[number % 2, y : y + side, x : x + side] = 1
        objects.append(Objects(torch.tensor([[x, y, x + side, y + side]]).float(), torch.tensor([1 + number % 2])))
    return images, objects


def test_it_learns_where_squares_are_and_of_which_colour() -> None:
    net, (images, objects) = tiny(), scenes(20)
    draw, optimizer = torch.Generator().manual_seed(0), torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for step in range(80):
        rows = [(step * 5 + place) % 20 for place in range(5)]
        optimizer.zero_grad()
        found = net.losses(images[rows], [objects[row] for row in rows], draw)
        assert all(part.isfinite() for part in found)
        found.total.backward()
        optimizer.step()
        losses.append(float(found.total.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    right = 0
    with torch.no_grad():
        detected = net.eval()(images)
    for one, wanted in zip(detected, objects, strict=True):
        if not len(wanted.boxes):
            right += not (one.scores > 0.5).any()
        elif len(one.scores):
            right += (
                int(one.classes[0]) == int(wanted.classes)
                and float(box_iou(one.boxes[:1], wanted.boxes).detach()) > 0.5
            )
    assert right >= 16


def test_proposals_are_inside_large_and_apart() -> None:
    net = tiny()
    places, logits, codes = net._anchored(net.body(scenes(2)[0]))
    found = net.proposed(logits[0], codes[0], places, (64, 64), (100, 20))
    assert 5 < len(found) <= 20 and ((found >= 0) & (found <= 64)).all()
    assert ((found[:, 2:] - found[:, :2]) >= 4).all()
    overlap = box_iou(found, found).fill_diagonal_(0)
    assert overlap.max() <= 0.7


def test_images_without_objects_have_a_loss_and_others_are_refused() -> None:
    net, (images, objects) = tiny(), scenes(5)
    empty = net.losses(images[4:], objects[4:], torch.Generator().manual_seed(0))
    assert empty.total.isfinite() and empty.proposals == empty.boxes == 0 and empty.objectness > 0
    with pytest.raises(RequestError, match="5 images need as many objects, not 1"):
        net.losses(images, objects[:1], torch.Generator())
