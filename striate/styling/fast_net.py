"""A network that paints any photograph in one painting's style, in one pass, and its file.

Justin Johnson, Alexandre Alahi, Li Fei-Fei, Perceptual Losses for Real-Time Style Transfer and Super-Resolution, 2016.
arXiv:1603.08155; with instance normalisation and upsampling as in pytorch/examples (BSD-3), whose files fit by name.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn

from striate.errors import RequestError
from striate.storage import write_bytes
from striate.weights.checkpoints import read_checkpoint

STRIDE = 4  # of the maps in the middle; the output of a picture whose sides it does not divide is cut
RADIUS = 64  # pixels within which a pixel of the output depends on the input, statistics apart
LEAST = 16  # pixels of a side: reflection needs more than it reflects

Walk = Generator[tuple[nn.InstanceNorm2d, Tensor], Tensor, Tensor]


class Conv(nn.Module):
    """Reflection padding, then a convolution: `conv2d`, as the published files call it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, enlarge: int = 1) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.reflection = kernel // 2
        self.conv2d = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.enlarge > 1:
            x = F.interpolate(x, scale_factor=self.enlarge, mode="nearest")
        y: Tensor = self.conv2d(F.pad(x, (self.reflection,) * 4, mode="reflect"))
        return y


class Residual(nn.Module):
    """Two 3 x 3 convolutions, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(channels, channels, 3), Conv(channels, channels, 3)
        self.in1, self.in2 = _norm(channels), _norm(channels)


class FastNet(nn.Module):
    """Pictures of 0 to 255, float32 [N, 3, H, W] -> the same painted, of about 0 to 255 and the same size.

    `channels` is 32 in the paper and 16 in small nets. Raises RequestError for a side below 16 pixels.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        first, second, third = channels, 2 * channels, 4 * channels
        self.conv1, self.in1 = Conv(3, first, 9), _norm(first)
        self.conv2, self.in2 = Conv(first, second, 3, stride=2), _norm(second)
        self.conv3, self.in3 = Conv(second, third, 3, stride=2), _norm(third)
        for number in range(1, 6):
            self.add_module(f"res{number}", Residual(third))
        self.deconv1, self.in4 = Conv(third, second, 3, enlarge=2), _norm(second)
        self.deconv2, self.in5 = Conv(second, first, 3, enlarge=2), _norm(first)
        self.deconv3 = Conv(first, 3, 9)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) < LEAST:
            raise RequestError(f"a picture of {x.shape[3]} x {x.shape[2]} pixels is too small: {LEAST} at least")
        walk = self.walk(x)
        norm, maps = next(walk)
        while True:
            try:
                norm, maps = walk.send(norm(maps))
            except StopIteration as end:
                found: Tensor = end.value
                return found[..., : x.shape[2], : x.shape[3]]

    def walk(self, x: Tensor) -> Walk:
        """The pass, halted at every normalisation: it yields the layer and its input, and is sent the normalised maps.

        So that the statistics of a picture in tiles can be those of the whole picture (`striate.styling.tiles`).
        """
        for conv, norm in ((self.conv1, self.in1), (self.conv2, self.in2), (self.conv3, self.in3)):
            x = F.relu((yield norm, conv(x)))
        for number in range(1, 6):
            block = self.get_submodule(f"res{number}")
            assert isinstance(block, Residual)
            inner = F.relu((yield block.in1, block.conv1(x)))
            x = x + (yield block.in2, block.conv2(inner))
        for conv, norm in ((self.deconv1, self.in4), (self.deconv2, self.in5)):
            x = F.relu((yield norm, conv(x)))
        found: Tensor = self.deconv3(x)
        return found


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)


def read_fast_net(path: Path) -> FastNet:
    """The network in a file of weights, a `.safetensors` or a PyTorch checkpoint (weights_only): ours, or one of
    pytorch/examples' fast_neural_style, of any width.

    Raises RequestError for a file that cannot be read, other weights, and values that are not finite.
    """
    arrays = {name: array for name, array in read_checkpoint(path).arrays.items() if not _is_running(name)}
    first = arrays.get("conv1.conv2d.weight")
    channels = first.shape[0] if first is not None and first.ndim == 4 else 0
    if not 1 <= channels <= 128:
        raise _other(path, "it has no conv1.conv2d.weight of 1 to 128 channels")
    net = FastNet(channels)
    wrong = _misfit(net, arrays)
    if wrong:
        raise _other(path, wrong)
    net.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
    return net.eval()


def write_fast_net(path: Path, net: FastNet) -> None:
    """Write the weights as safetensors, in one piece. Raises WorkError."""
    write_bytes(
        path, save({name: np.ascontiguousarray(each.detach().numpy()) for name, each in net.state_dict().items()})
    )


def _is_running(name: str) -> bool:
    """Statistics of training, which old files have and instance normalisation does not use."""
    return name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def _misfit(net: FastNet, arrays: Mapping[str, NDArray[Any]]) -> str:
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            return f"{name} is {'missing' if name not in arrays else arrays[name].shape}, not {shape}"
        if not np.isfinite(arrays[name]).all():
            return f"{name} has values that are not finite"
    strange = next((name for name in arrays if name not in shapes), "")
    return f"{strange} is unexpected" if strange else ""


def _other(path: Path, why: str) -> RequestError:
    return RequestError(f"{os.fspath(path)!r} has no weights of a fast style net: {why}")
