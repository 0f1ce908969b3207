"""The torch module of a model file: built, loaded and checked, ready for an engine or an export."""

from __future__ import annotations

from torch import nn

from striate.errors import RequestError
from striate.model import Model
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import check_registered
from striate.nets.state import load_arrays
from striate.nets.trunk import Trunk


def net_of(model: Model) -> Net:
    """The network with its weights, in eval mode. Raises RequestError where file and net do not fit."""
    strange = model.options.keys() - {"classes", "in_channels", "input_size", "options"}
    if strange:
        raise RequestError(f"the model's options hold {sorted(strange)}, which create does not take")
    check_registered(model.net)
    net = create(model.net, **model.options)
    pixels = model.pixels
    if pixels.channels != net.in_channels or min(pixels.height, pixels.width) < net.minimum_size:
        raise RequestError(
            f"the model's pixels, {pixels.channels}x{pixels.height}x{pixels.width}, do not fit {model.net!r}, which "
            f"takes {net.in_channels} channels of at least {net.minimum_size} x {net.minimum_size} pixels"
        )
    load_arrays(net, model.tensors, model.aliases)
    return net.eval()


def trunk_of(model: Model) -> nn.Module:
    """uint8 images in, embedding out (scores, where the net has no linear head)."""
    net = net_of(model)
    return Trunk(net, model.pixels, embedding=bool(model.head), mean_image=model.mean_image).eval()
