"""Filters as pictures where that says something: those of the first layer, which have the image's own channels.

A filter of a later layer has as many channels as the map before it, which no picture shows: of those, only norms.
Source: Krizhevsky, Sutskever, Hinton 2012, Figure 3.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError


def first_convolution(net: nn.Module, images: Tensor) -> tuple[str, nn.Conv2d]:
    """The convolution that sees the image: the first one in order of its modules with the image's channels.

    Raises RequestError for a network without one.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == images.shape[1]:
                return name, module
            break
    channels = images.shape[1]
    raise RequestError(f"the first layer of {type(net).__name__} is no convolution of images [N, {channels}, H, W]")


def filter_tiles(weight: Tensor) -> NDArray[np.uint8]:
    """First-layer weights [N, C, h, w] as pictures, uint8 [N, h, w, 3], for one or three channels.

    All on one scale, so that they can be compared: 0 is mid-grey, 128, and the largest weight of all is 255 or 1.
    Raises RequestError for another number of channels.
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3):
        raise RequestError(f"filters of 1 or 3 channels can be shown, not weights of shape {list(weight.shape)}")
    values = weight.detach().float().permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
    scaled = 128 + 127 * values / values.abs().max().clamp(min=1e-12)
    return scaled.round().to(torch.uint8).numpy()


def filter_norms(net: nn.Module) -> dict[str, NDArray[np.float64]]:
    """The Euclidean norm of every filter [filters] of each convolution, by the module's name."""
    return {
        name: module.weight.detach().double().flatten(1).norm(dim=1).numpy()
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d)
    }


def fourier_angle(kernel: Tensor) -> float:
    """The angle of a bar that a filter [C, h, w] answers to, in degrees from 0 to 180: 0 is horizontal, 90 vertical.

    From the strongest frequency of its spectrum, summed over channels; a bar lies across that frequency's direction.
    """
    padded = np.abs(np.fft.fft2(kernel.detach().double().numpy(), (64, 64))) ** 2
    spectrum = np.fft.fftshift(padded.sum(0))
    spectrum[32, 32] = 0
    down, across = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    # Rows grow downwards and angles turn upwards; the bar is at a right angle to the frequency.
    return float((np.degrees(np.arctan2(-(int(down) - 32), int(across) - 32)) + 90) % 180)
