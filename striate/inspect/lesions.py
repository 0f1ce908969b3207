"""What happens without a part: blocks of a trained network are removed, and it is not trained again.

Source: Veit, Wilber, Belongie 2016, arXiv:1605.06431, sections 4.1 and 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.blocks import Block, find_blocks, removal
from striate.inspect.replacing import Forward, Instead, run_as
from striate.layers.modes import in_evaluation
from striate.progress import Progress

BATCH = 100  # images at once, at most
ROOM = 256_000_000  # bytes of the outputs of all blocks, which are kept for a batch


@dataclass(frozen=True)
class Lesions:
    """Shares of images that are classified correctly. intact: with all blocks. without: by the block that is removed.

    blocks: in order, as the keys of `without`.
    """

    intact: float
    without: dict[str, float]
    blocks: tuple[Block, ...]

    @property
    def median_loss(self) -> float:
        """The median of what removing one block costs, as a share of the images."""
        return self.intact - float(np.median(list(self.without.values())))


def lesions(net: nn.Module, images: Tensor, targets: Tensor, progress: Progress | None = None) -> Lesions:
    """Accuracy on images [N, C, H, W] with classes [N] when one block is removed, for each block of `find_blocks`.

    What runs before the removed block is computed once. Raises RequestError for a network without blocks.
    """
    blocks = find_blocks(net, images[:1])
    right = _correct(net, images, targets, blocks, [(), *((block,) for block in blocks)], progress)
    shares = [int(count) / len(images) for count in right]
    return Lesions(shares[0], dict(zip((b.name for b in blocks), shares[1:], strict=True)), tuple(blocks))


def lesion_curve(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    counts: Sequence[int],
    *,
    draws: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[int, list[float]]:
    """Accuracy when `count` random blocks are removed at once, `draws` times for each of `counts`.

    Raises RequestError for a count of more blocks than there are.
    """
    blocks = find_blocks(net, images[:1])
    if not all(0 <= count <= len(blocks) for count in counts):
        raise RequestError(f"counts must be from 0 to {len(blocks)}, the number of blocks, not {max(counts)}")
    random = np.random.default_rng(seed)
    chosen = [
        tuple(blocks[place] for place in sorted(random.choice(len(blocks), count, replace=False)))
        for count in counts
        for _ in range(draws)
    ]
    right = _correct(net, images, targets, blocks, chosen, progress)
    shares = [int(count) / len(images) for count in right]
    return {count: shares[place * draws : (place + 1) * draws] for place, count in enumerate(counts)}


@torch.no_grad()
def _correct(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    blocks: list[Block],
    removed: Sequence[tuple[Block, ...]],
    progress: Progress | None,
) -> NDArray[np.int64]:
    """How many images are classified correctly without each of the sets of blocks."""
    right = np.zeros(len(removed), np.int64)
    kept_bytes = sum(math.prod(block.after) for block in blocks) * images.element_size()
    batch = max(1, min(BATCH, ROOM // kept_bytes))
    parts = list(zip(torch.split(images, batch), torch.split(targets, batch), strict=True))
    with in_evaluation(net), (progress or Progress()).bar("Removing blocks", len(parts) * len(removed)) as bar:
        for x, classes in parts:
            kept: dict[str, Tensor] = {}
            with run_as(net, {block.name: _keeping(kept, block.name) for block in blocks}):
                net(x)
            for place, chosen in enumerate(removed):
                with run_as(net, _instead(net, blocks, chosen, kept)):
                    right[place] += int((net(x).argmax(1) == classes).sum())
                bar.advance()
    return right


def _keeping(kept: dict[str, Tensor], name: str) -> Instead:
    def run(forward: Forward, x: Tensor) -> Tensor:
        kept[name] = forward(x)
        return kept[name]

    return run


def _instead(
    net: nn.Module, blocks: list[Block], chosen: tuple[Block, ...], kept: dict[str, Tensor]
) -> dict[str, Instead]:
    """Blocks before the first removed one give their kept output: a block depends only on what ran before it."""
    first = blocks.index(chosen[0]) if chosen else len(blocks)
    known: dict[str, Instead] = {block.name: _giving(kept[block.name]) for block in blocks[:first]}
    return known | {block.name: removal(net, block) for block in chosen}


def _giving(value: Tensor) -> Callable[[Forward, Tensor], Tensor]:
    return lambda forward, x: value
