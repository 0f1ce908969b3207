"""The maps of a frozen part of a network, computed once for each image and its mirror image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from striate.errors import RequestError

LARGEST = 8 * 2**30  # bytes of maps in memory
AT_ONCE = 8  # images through the frozen part

Lower = Callable[[Tensor], Tensor]


class Maps(Protocol):
    """Maps of images, in place of them: what a network's upper part takes."""

    def of(self, places: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """Those at `places`, int64 [B], of the mirrored image where `mirrored` [B] says so: float32 [B, D]."""
        ...


@dataclass(frozen=True, eq=False)
class CachedMaps:
    """The maps of M images: float16 [variants, M, D], flat; the second variant is of the mirrored images."""

    values: Tensor

    def of(self, places: Tensor, mirrored: Tensor | None = None) -> Tensor:
        """The maps at `places`, int64 [B], of the mirrored image where `mirrored` [B] says so: float32 [B, D]."""
        which = torch.zeros_like(places) if mirrored is None else mirrored.to(places)
        return self.values[which, places].float()


@torch.no_grad()
def cache_maps(
    lower: Lower,
    images: Tensor,
    normalise: Callable[[Tensor], Tensor],
    *,
    mirrored: bool,
    done: Callable[[int], object],
) -> CachedMaps:
    """The maps of uint8 images [M, C, H, W] under `lower`, which gives flat ones [B, D] for normalised images.

    mirrored: of the mirror images, too. done: called with the number of images after each batch.
    Raises RequestError for more than LARGEST bytes.
    """
    variants, values = 1 + mirrored, None
    for start in range(0, len(images), AT_ONCE):
        batch = images[start : start + AT_ONCE]
        for place, shown in enumerate((batch, batch.flip(3)) if mirrored else (batch,)):
            found = lower(normalise(shown)).half().cpu()
            if values is None:
                need = 2 * variants * len(images) * found.shape[1]
                if need > LARGEST:
                    raise RequestError(
                        f"the maps of {len(images):,} images take {need / 1e9:.0f} GB; for so many images fine-tune "
                        "(--strategy finetune) or train from scratch"
                    )
                values = torch.empty((variants, len(images), found.shape[1]), dtype=torch.float16)
            values[place, start : start + len(batch)] = found
        done(len(batch))
    return CachedMaps(torch.empty(variants, 0, 0) if values is None else values)


class OnMaps(nn.Module):
    """The upper part of a network on flat maps: [B, D] -> what `upper` gives for maps by their names.

    shapes: [c, h, w] of each map by its name, in the order in which they are joined. finish: from upper's output on.
    """

    def __init__(
        self, upper: nn.Module, shapes: dict[str, tuple[int, int, int]], finish: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.upper, self.shapes, self.finish = upper, shapes, finish

    def forward(self, flat: Tensor) -> Tensor:
        """Logits of the images whose maps these are."""
        return self.finish(self.upper(dict(self._parts(flat))))

    def _parts(self, flat: Tensor) -> Iterator[tuple[str, Tensor]]:
        start = 0
        for name, (channels, height, width) in self.shapes.items():
            end = start + channels * height * width
            yield name, flat[:, start:end].reshape(len(flat), channels, height, width)
            start = end


def joined(maps: dict[str, Tensor]) -> Tensor:
    """Maps [B, c, h, w] by name as flat ones [B, D]."""
    return torch.cat([one.flatten(1) for one in maps.values()], 1)
