"""Farabet's network of three scales: its sizes, what it sees, and a training on masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from striate import Recipe, train
from striate.anatomy.summary import parameters
from striate.nets.build import create
from striate.nets.farabet import LocalNormalisation, ScaleNet, links, pyramid


def test_sizes_and_connections_are_those_of_the_table() -> None:
    with torch.device("meta"):
        net: Any = create("farabet").eval()
    banks = (10 * 49 + 10) + (6 * 2 * 49 + 6) + (64 * 8 * 49 + 64) + (256 * 32 * 49 + 256)
    assert parameters(net) == banks + (768 * 1024 + 1024) + (1024 * 8 + 8)
    shapes: list[tuple[int, ...]] = []
    net.scale.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert net(torch.empty(1, 3, 240, 320, device="meta")).shape == (1, 8, 240, 320)
    assert shapes == [(256, 60, 80), (256, 30, 40), (256, 15, 20)]  # one network, three times
    grid = np.array(links(64, 256, 32))
    assert (grid.sum(0) == 32).all() and grid.any(1).all() and links(64, 256, 32) == grid.tolist()
    assert len({tuple(column) for column in grid.T}) == 256


def test_a_pixel_of_one_scale_depends_on_46_by_46() -> None:
    torch.manual_seed(0)
    net = ScaleNet(1, (4, 8, 8)).eval()
    image = torch.randn(1, 1, 128, 128, requires_grad=True)
    net(image)[0, :, 16, 16].sum().backward()
    assert image.grad is not None
    rows, columns = image.grad[0, 0].abs().nonzero().T
    assert int(rows.max() - rows.min()) + 1 <= 46 and int(columns.max() - columns.min()) + 1 <= 46
    assert len(rows) > 1000


def test_the_pyramid_adds_up_and_is_normalised_locally() -> None:
    torch.manual_seed(0)
    x = 50 + 20 * torch.randn(2, 3, 64, 48)
    fine, middle, coarse = pyramid(x)
    assert [one.shape[2] for one in (fine, middle, coarse)] == [64, 32, 16]
    for detail in (middle, fine):
        coarse = detail + F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(coarse, x, atol=1e-4)
    normalise = LocalNormalisation()
    found = normalise(x)
    assert found.mean().abs() < 0.05 and 0.8 < float(found.std()) < 1.1
    assert torch.allclose(normalise(3 * x + 7), found, atol=1e-3)  # neither contrast nor brightness matters
    assert not normalise(torch.full((1, 1, 32, 32), 9.0)).any()


def test_it_is_trained_on_masks(tmp_path: Path) -> None:
    random, (rows, columns) = np.random.default_rng(0), np.mgrid[:32, :32]
    for number in range(16):
        image = random.integers(0, 80, (32, 32, 3)).astype(np.uint8)
        disc = (rows - random.integers(9, 23)) ** 2 + (columns - random.integers(9, 23)) ** 2 < 60
        image[disc] = (230, 60, 60)
        for folder, values in (("images", image), ("masks", disc.astype(np.uint8) * 255)):
            (tmp_path / "discs" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "discs" / folder / f"{number}.png")
    chosen = {"train.precision": "float32", "train.compile": "no", "inference.engine": "torch", "train.epochs": 12}
    recipe = Recipe().updated({**chosen, "net.name": "farabet_tiny", "optimizer.name": "adamw", "optimizer.lr": 0.01})
    run = train(tmp_path / "discs", out=tmp_path / "run", recipe=recipe)
    assert run.model.net == "farabet_tiny" and run.plan.strategy == "scratch"
    assert run.metrics["iou"]["foreground"] > 0.6
    assert run.metrics["boundary_f1"] == pytest.approx(run.evaluation.details()["boundary_f1"])
