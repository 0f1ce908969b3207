"""Published networks of CIFAR-10 on the test images of a seed, for studies that train nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from striate.errors import RequestError
from striate.studies.study import Context

SLICES = 5  # at most so many seeds: each has other test images
AKAMASTER = {
    20: "resnet20-12fca82f.th",
    32: "resnet32-d509ac18.th",
    44: "resnet44-014dd654.th",
    56: "resnet56-4bfd9763.th",
}
FILES = ", ".join(AKAMASTER.values()) + " (akamaster/pytorch_resnet_cifar10)"


class Loaded(NamedTuple):
    """net: in evaluation mode. images: as it takes them, [N, 3, 32, 32]. targets: classes [N]."""

    net: Any
    images: Any
    targets: Any


def loaded(context: Context, file: str, net: str, source: str, *, most: int) -> Loaded:
    """A network of `--weights` and at most so many test images of the seed's fifth of the data.

    Raises RequestError for data without test images.
    """
    import numpy as np
    import torch

    from striate.data.opening import open_source
    from striate.inference.backbones import net_of, normalised

    data = open_source(context.data)
    items = [item for item in data.items if item.part == "test"][context.seed :: SLICES][:most]
    if not items:
        raise RequestError(f"{data.name!r} has no test images; this study needs those of CIFAR-10")
    model = context.published(file, net, source)
    crops = np.stack([model.pixels.apply(data.decode(data.read(item), model.pixels.at_least).image) for item in items])
    targets = torch.tensor([item.target for item in items])
    return Loaded(net_of(model), normalised(crops, model), targets)
