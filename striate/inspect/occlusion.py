"""What is lost of an output when a part of the image is covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.outputs import chosen, outputs_of
from striate.layers.modes import in_evaluation

PIECE = 8  # images at a time
ACROSS = 7  # patches across the image, by default


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What an output loses (logits) by each covered patch, values [h, w]; negative: the output rises.

    patch, stride: height and width in pixels, of the patches and between them. size: of the image.
    """

    values: NDArray[np.float32]
    patch: tuple[int, int]
    stride: tuple[int, int]
    size: tuple[int, int]

    @property
    def pixels(self) -> NDArray[np.float32]:
        """For each pixel [H, W] the mean over the patches that cover it; 0 where there is none."""
        total, count = np.zeros(self.size), np.zeros(self.size)
        for row, column in np.ndindex(self.values.shape):
            top, left = row * self.stride[0], column * self.stride[1]
            part = slice(top, top + self.patch[0]), slice(left, left + self.patch[1])
            total[part] += self.values[row, column]
            count[part] += 1
        return (total / np.maximum(count, 1)).astype(np.float32)


def occlusion(
    net: nn.Module,
    image: Tensor,
    output: int,
    *,
    patch: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    fill: float = 0.0,
    batch: int = PIECE,
) -> Occlusion:
    """What an output of one image [C, H, W] loses when a patch is covered, for each place of the patch.

    patch, stride: (height, width) in pixels; by default a quarter of the image, in steps that make 7 x 7 places. fill:
    what the patch is filled with, 0 being the mean colour of a normalised input.
    Raises RequestError for a patch larger than the image. Source: Zeiler, Fergus 2014, arXiv:1311.2901, section 4.2.
    """
    return occlusions(net, image, [output], patch=patch, stride=stride, fill=fill, batch=batch)[0]


def occlusions(
    net: nn.Module,
    image: Tensor,
    outputs: Sequence[int],
    *,
    patch: tuple[int, int] | None = None,
    stride: tuple[int, int] | None = None,
    fill: float = 0.0,
    batch: int = PIECE,
) -> list[Occlusion]:
    """`occlusion` of each of several outputs, by the same covered images: they are run once."""
    height, width = image.shape[1:]
    patch = patch or (max(1, height // 4), max(1, width // 4))
    stride = stride or (max(1, (height - patch[0]) // (ACROSS - 1)), max(1, (width - patch[1]) // (ACROSS - 1)))
    if min(*patch, *stride) < 1 or patch[0] > height or patch[1] > width:
        raise RequestError(f"a patch of {patch[0]} x {patch[1]} pixels does not fit an image of {height} x {width}")
    rows, columns = range(0, height - patch[0] + 1, stride[0]), range(0, width - patch[1] + 1, stride[1])
    covered = []
    for top in rows:
        for left in columns:
            mask = torch.zeros(height, width, dtype=torch.bool, device=image.device)
            mask[top : top + patch[0], left : left + patch[1]] = True
            covered.append(mask)
    whole = _outputs(net, image[None], outputs)[0]
    without = _covered(net, image, covered, outputs, fill, batch)
    lost = (whole - without).T.reshape(len(outputs), len(rows), len(columns)).astype(np.float32)
    return [Occlusion(values, patch, stride, (height, width)) for values in lost]


def outputs_for(net: nn.Module, images: Tensor, output: int) -> NDArray[np.float64]:
    """One output of each image, [N]."""
    return _outputs(net, images, [output])[:, 0]


def covered_outputs(net: nn.Module, image: Tensor, masks: Sequence[Tensor], output: int) -> NDArray[np.float64]:
    """One output of the image [C, H, W] under each mask [H, W], [M]: where a mask is True, the image is 0."""
    return _covered(net, image, masks, [output], 0.0, PIECE)[:, 0]


def _outputs(net: nn.Module, images: Tensor, outputs: Sequence[int]) -> NDArray[np.float64]:
    """The chosen outputs of each image, [N, outputs]."""
    with in_evaluation(net), torch.no_grad():
        rows = outputs_of(net, images)
        found = torch.stack([chosen(rows, output) for output in outputs], 1)
    values: NDArray[np.float64] = found.double().cpu().numpy()
    return values


def _covered(
    net: nn.Module, image: Tensor, masks: Sequence[Tensor], outputs: Sequence[int], fill: float, batch: int
) -> NDArray[np.float64]:
    """The chosen outputs of the image under each mask, [M, outputs]."""
    pieces = [torch.stack(list(masks[start : start + batch])) for start in range(0, len(masks), batch)]
    return np.concatenate([_outputs(net, image.masked_fill(piece[:, None], fill), outputs) for piece in pieces])
