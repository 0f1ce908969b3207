"""Inputs are checked, and the network's input is (image - mean) / std."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.errors import RequestError
from striate.recipe.augment import Augment
from striate.tasks import Classification, Multilabel, Regression, Task
from striate.training.batches import batches, sample_order
from striate.training.examples import Examples
from striate.training.view import View, normalised


def test_normalised() -> None:
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    x = normalised(images, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert x.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(x[:, 1], (images[:, 1].float() - 2) / 5)
    mean = torch.rand(3, 4, 4) * 255
    torch.testing.assert_close(normalised(images, mean, [2.0] * 3), (images.float() - mean) / 2)


@pytest.mark.parametrize("weights", [None, np.arange(23.0)])
def test_the_augmentation_of_an_image_does_not_depend_on_the_batch(weights: np.ndarray | None) -> None:
    images = torch.randint(0, 256, (23, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    augment = Augment(
        preset="none", mixup=0.5, crop=(0.3, 1), flip=0.5, rotate=9, elastic=1, colour=9, lighting=0.1, cutout=3,
        pixel_dropout=0.1,
    )  # fmt: skip
    some_of = Examples(images, torch.zeros(23, dtype=torch.int64), [90.0] * 3, [60.0] * 3, size=(12, 12))
    view = View(some_of, torch.device("cpu"), Augmentation.of(augment), seed=3)
    epoch = sample_order(23, seed=3, epoch=1, weights=weights)
    whole = view.training_batch(epoch, epoch, 1)
    assert [len(part.rows) for part in whole.parts] == [23, 23]
    for batch in (1, 7):
        shown = [view.training_batch(some, epoch, 1) for some in batches(epoch, batch)]
        assert torch.equal(torch.cat([some.x for some in shown]), whole.x)
        for part in (0, 1):
            assert torch.equal(torch.cat([some.parts[part][0] for some in shown]), whole.parts[part][0])
            assert torch.equal(torch.cat([some.parts[part][1] for some in shown]), whole.parts[part][1])
    if weights is not None:  # an image that is drawn twice is augmented differently
        twice = [np.flatnonzero(epoch.rows == row) for row in range(23) if (epoch.rows == row).sum() > 1]
        assert twice
        assert not any(torch.equal(whole.x[places[0]], whole.x[places[1]]) for places in twice)


def test_only_the_requested_rows_are_read() -> None:
    # A tensor of 3 TB expanded from one byte: reading more than the rows would run out of memory.
    images = torch.zeros(1, 3, 1000, 1000, dtype=torch.uint8).expand(10**6, -1, -1, -1)
    untold = torch.zeros(10**6, dtype=torch.int64)
    view = View(Examples(images, untold, [1.0] * 3, [2.0] * 3, size=(8, 8)), torch.device("cpu"))
    x = view.plain(torch.tensor([5, 999_999]))
    assert x.shape == (2, 3, 8, 8)
    assert (x == -0.5).all()


@pytest.mark.parametrize(
    ("mean", "std"),
    [([1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0]), ([1.0, 1.0], [0.0, 1.0]), (torch.zeros(2, 3, 3), [1.0, 1.0])],
)
def test_normalisation_that_does_not_fit_is_refused(mean: list[float] | Tensor, std: list[float]) -> None:
    with pytest.raises(RequestError, match="2 channels need as many means, and stds above 0"):
        Examples(torch.zeros(1, 2, 4, 4, dtype=torch.uint8), torch.tensor([0]), mean, std)


@pytest.mark.parametrize(
    ("task", "targets", "words"),
    [
        (Classification(("a", "b")), torch.zeros(3), r"int64 classes \[N\], not float32 \[3\]"),
        (Classification(("a", "b")), torch.tensor([0, -1, 0]), "class indices start at 0, but one is -1"),
        (Multilabel(("a", "b")), torch.zeros(3), r"float labels \[N, labels\]"),
        (Multilabel(("a", "b")), torch.full((3, 2), 2.0), "present .1. or absent .0., but one is neither"),
        (Multilabel(("a", "b")), torch.full((3, 2), float("nan")), "one is neither"),
        (Regression(("n",)), torch.zeros(3, dtype=torch.int64), r"float numbers \[N\]"),
        (Regression(("n",)), torch.zeros(2), r"and torch.float32 \[2\]"),
        (Regression(("n",)), torch.tensor([0.0, float("inf"), 0.0]), "must be finite, but one is not"),
    ],
)
def test_targets_that_do_not_fit_the_task_are_refused(task: Task, targets: Tensor, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Examples(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), targets, [0.0], [1.0], task=task)
