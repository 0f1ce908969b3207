"""What heads on the maps of a frozen pretrained network have in common: their start, and the maps of all images."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from striate.learning.trainer import Trainer
from striate.model import Model
from striate.nets.backbone import normalisation
from striate.nets.base import Network
from striate.nets.build import create_for
from striate.nets.state import load_arrays
from striate.progress import Progress
from striate.training.cached_maps import CachedMaps, cache_maps


def on_pretrained(trainer: Trainer, backbone: Model) -> Network:
    """The trainer's network: the pretrained stages under a head of random weights."""
    pixels = trainer.data.pixels
    net = create_for(
        trainer.task,
        trainer.net,
        in_channels=pixels.channels,
        input_size=(pixels.height, pixels.width),
        options=trainer.recipe.net.options,
    )
    head = {name: value.detach().numpy() for name, value in net.state_dict().items() if name.startswith("head.")}
    below = {name: value for name, value in backbone.tensors.items() if name in net.state_dict()}
    load_arrays(net, {**head, **below})
    return net


def all_maps(trainer: Trainer, lower: Callable[[Tensor], Tensor], progress: Progress) -> CachedMaps:
    """What `lower` makes of each image [N, C, H, W] -> [N, D], and of its mirror image where images are mirrored."""
    images = trainer.images.evaluation_tensor()
    with progress.bar("The maps of the images", len(images)) as bar:
        return cache_maps(
            lower,
            images,
            normalisation(trainer.data.pixels),
            mirrored=bool(trainer.recipe.augment.flip),
            done=bar.advance,
        )
