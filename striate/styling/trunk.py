"""VGG-16's convolutions as the eye of style transfer: the maps in which two pictures are compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.precision import has_bfloat16
from striate.nets.vgg import stages
from striate.weights.vgg16_trunk import TrunkWeights

LEAST = 32  # pixels of the shorter side: four poolings leave two


class Trunk(nn.Module):
    """Pictures [N, 3, H, W] of 0 to 255 -> their maps after some layers, such as "conv4_2", each after its ReLU.

    Pooling takes the mean, as in Gatys et al., where it gave "slightly more appealing results" than the maximum. No
    parameter is trained. Computed in bfloat16 where the processor does, twice as fast or more; the maps are float32.
    Raises RequestError for weights that do not fit, or are not finite.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: TrunkWeights, layers: Sequence[str]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))
        self.dtype = dtype = torch.bfloat16 if has_bfloat16() else torch.float32
        self.names: list[str] = []
        last = max(layers)
        for stage, convolutions in enumerate(stages("D"), start=1):
            for number, layer in enumerate(convolutions, start=1):
                name = f"conv{stage}_{number}"
                if name > last:
                    break
                made = nn.Conv2d(layer.in_channels, layer.channels, layer.kernel, padding=layer.kernel // 2)
                made.weight = _fixed(weights, f"stage{stage}.conv{number}.conv.weight", made.weight, dtype)
                made.bias = _fixed(weights, f"stage{stage}.conv{number}.conv.bias", made.bias, dtype)
                self.add_module(name, made)
                self.names.append(name)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        found = {}
        x = ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        x = x.to(self.dtype)
        for name in self.names:
            if name.endswith("_1") and name != "conv1_1":
                x = F.avg_pool2d(x, 2)
            x = F.relu(self.get_submodule(name)(x))
            if name in self.layers:
                found[name] = x.float()
        return found


def _fixed(weights: TrunkWeights, name: str, like: Tensor | None, dtype: torch.dtype) -> nn.Parameter:
    array = weights.arrays.get(name)
    assert like is not None
    if array is None or array.shape != tuple(like.shape):
        raise RequestError(f"{weights.source} are no weights of vgg16: {name} does not fit")
    tensor = torch.from_numpy(array).float()
    if not torch.isfinite(tensor).all():
        raise RequestError(f"{weights.source}: {name} has values that are not finite")
    if tensor.ndim == 4:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(tensor.to(dtype), requires_grad=False)
