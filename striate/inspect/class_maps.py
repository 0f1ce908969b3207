"""Class maps: what each position of a feature map adds to an output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.inspect.outputs import AtLayer, Output, at_layer, chosen, default_layer, outputs_of
from striate.inspect.watching import replaced
from striate.layers.modes import in_evaluation

CLOSE = 1e-4  # gradients this close, as a share of the largest, are equal
Kind = Literal["cam", "planes", "hirescam"]


@dataclass(frozen=True, eq=False)
class ClassMap:
    """values [N, h, w], in the units of the output (logits): their mean plus `bias` [N] is the output where `exact`.

    exact: what follows the layer is linear in its map, as tested on the network. kind: "cam", one weight a channel
    (a linear head on the mean of the map); "planes", one channel that is the class's own (network in network);
    "hirescam", anything else. bias: the output for a map of zeros. outputs [N]: of the images. layer: of the map.
    """

    values: NDArray[np.float32]
    bias: NDArray[np.float32]
    outputs: NDArray[np.float32]
    exact: bool
    kind: Kind
    layer: str


def class_map(net: nn.Module, images: Tensor, output: Output, layer: str = "") -> ClassMap:
    """What each position of a layer's map adds to an output: gradient times map, summed over the channels.

    Multiplied by the number of positions, so that for a linear head on the mean of the map (CAM) the mean of the values
    plus the head's bias is the output. images [N, C, H, W]; output: its index, or one for each image; layer: a module's
    name, by default the last stage of at least 4 x 4 positions. Raises RequestError for a layer without a map.
    Source: Zhou et al. 2016, arXiv:1512.04150 (CAM); Draelos, Carin 2020, arXiv:2011.08891 (HiResCAM).
    """
    layer = layer or default_layer(net, images)
    found = at_layer(net, images, layer, output)
    positions = found.map.shape[2] * found.map.shape[3]
    values = positions * _contributions(found)
    first = output if isinstance(output, int) else output[0]
    linear = _is_linear(net, images[:1], layer, first, found)
    return ClassMap(
        values,
        _bias(net, images, layer, output),
        found.output.cpu().numpy(),
        linear,
        _kind(found.gradient[0]) if linear else "hirescam",
        layer,
    )


def grad_cam(net: nn.Module, images: Tensor, output: Output, layer: str = "") -> NDArray[np.float32]:
    """Grad-CAM [N, h, w]: each channel weighted by the mean of its gradient. Signed: negative values are not cut off.

    For a linear head on the mean of the map it is the class map divided by the number of positions. Arguments and
    errors as of `class_map`. Source: Selvaraju et al. 2017, arXiv:1610.02391.
    """
    found = at_layer(net, images, layer or default_layer(net, images), output)
    values: NDArray[np.float32] = (found.gradient.mean((2, 3), keepdim=True) * found.map).sum(1).cpu().numpy()
    return values


def layer_map(net: nn.Module, images: Tensor, output: Output, layer: str) -> NDArray[np.float32]:
    """Gradient times map, summed over the channels [N, h, w]: the class map divided by the number of positions.

    Without the tests of `class_map`: for many maps of one network, or of changed ones.
    """
    return _contributions(at_layer(net, images, layer, output))


def stretched(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Maps [N, h, w] at the size (height, width) of the image: bilinear, corner to corner, positions as areas.

    A position's centre is that of its share of the image, not of its receptive field: of a trained network this is off
    by less; `striate.inspect.trust.offset` measures it.
    """
    found = F.interpolate(torch.from_numpy(values)[:, None], size=size, mode="bilinear", align_corners=False)
    result: NDArray[np.float32] = found[:, 0].numpy()
    return result


def _contributions(found: AtLayer) -> NDArray[np.float32]:
    values: NDArray[np.float32] = (found.gradient * found.map).sum(1).float().cpu().numpy()
    return values


def _bias(net: nn.Module, images: Tensor, layer: str, output: Output) -> NDArray[np.float32]:
    """The outputs for a map of zeros."""
    with in_evaluation(net), torch.no_grad(), replaced(net, layer, lambda inputs, made: torch.zeros_like(made)):
        rows = outputs_of(net, images[:1])
        found: NDArray[np.float32] = chosen(rows.expand(len(images), -1), output).cpu().numpy()
    return found


def _is_linear(net: nn.Module, image: Tensor, layer: str, output: int, found: AtLayer) -> bool:
    """Whether the gradient is the same at another map and at zero: the output is then linear in the map."""
    noise = torch.randn(found.map.shape[1:], generator=torch.Generator().manual_seed(0)).to(found.map)
    other = found.map[0] + noise * found.map[0].std().clamp_min(1e-3)
    pair = image.expand(2, *image.shape[1:])
    there = at_layer(net, pair, layer, output, lambda made: torch.stack([other, torch.zeros_like(other)]))
    here = found.gradient[0]
    return bool((there.gradient - here).abs().max() <= CLOSE * here.abs().max())


def _kind(gradient: Tensor) -> Kind:
    """Of a linear output, by the gradient [C, h, w]."""
    size = float(gradient.abs().max())
    if float((gradient - gradient.mean((1, 2), keepdim=True)).abs().max()) > CLOSE * size:
        return "hirescam"
    weights = gradient.sum((1, 2))
    used = int((weights.abs() > CLOSE * weights.abs().max()).sum())
    return "planes" if used == 1 and abs(float(weights.sum()) - 1) <= CLOSE else "cam"
