"""Images of a source as tensors, for studies with a training loop of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from striate.data.sources.base import Source

if TYPE_CHECKING:  # they import torch
    from torch import Tensor

    from striate.nets.base import Net
    from striate.training.examples import Examples

    Batch = tuple[Tensor, Tensor]  # images [N, 3, side, side], of mean 0 and deviation 1 by channel, and classes [N]


@dataclass(frozen=True, eq=False)
class Tensors:
    """Images for training and others of the training part to compare on, both drawn by a seed."""

    train: Batch
    held_out: Batch
    classes: int

    def batches(self, size: int, seed: int) -> Iterator[Batch]:
        """Random batches of training images, without an end."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        images, targets = self.train
        while True:
            rows = torch.randint(len(images), (size,), generator=generator)
            yield images[rows], targets[rows]


def tensors(source: Source, side: int, seed: int) -> Tensors:
    """Of the training images of a source, three quarters to train on and a quarter to compare on."""
    from striate.data.dataset import open_data
    from striate.tuning.architecture.images import trial_images

    images = trial_images(open_data(source), most=len(source.items), rule="squash", seed=seed)
    train, held_out = map(_normalised, images.at(side))
    return Tensors(train, held_out, images.classes)


def plain20(data: Tensors, norm: str) -> Net:
    """The network of 20 plain layers for these images. norm: as its option `swap_norm`."""
    from striate.nets.build import create_classifier

    height, width = data.train[0].shape[2:]
    options = {"swap_norm": norm}
    return create_classifier(
        "plain20", classes=data.classes, in_channels=3, input_size=(height, width), options=options
    )


def _normalised(examples: Examples) -> Batch:
    import torch

    mean, std = (torch.as_tensor(values).reshape(1, -1, 1, 1) for values in (examples.mean, examples.std))
    return (examples.images.float() - mean) / std, examples.targets
