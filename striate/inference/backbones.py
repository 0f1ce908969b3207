"""The torch module of a model file: built, loaded and checked, ready for an engine or an export."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError, unknown
from striate.model import Model
from striate.nets.backbone import Backbone, CaptionSearch, Normalise
from striate.nets.base import Net, Network
from striate.nets.build import create, create_for
from striate.nets.catalog import check_registered
from striate.nets.kinds import Captioner
from striate.nets.state import load_arrays
from striate.pixels import Images

_OPTIONS = ("in_channels", "input_size", "options")  # of `create`, beside the classes


def net_of(model: Model) -> Net:
    """An image classifier with its weights, in eval mode. Raises RequestError for another kind, or as `network_of`."""
    net = network_of(model)
    if not isinstance(net, Net):
        raise RequestError(f"this needs an image classifier, and {model.net} is a {net.kind}")
    return net


def network_of(model: Model) -> Network:
    """The network with its weights, in eval mode. Raises RequestError if file and net do not match."""
    strange = model.options.keys() - {"classes", *_OPTIONS}
    if strange:
        raise RequestError(f"the model's options hold {sorted(strange)}, which create does not take")
    check_registered(model.net)
    net = create_for(model.task, model.net, **{name: model.options[name] for name in _OPTIONS if name in model.options})
    pixels = model.pixels
    if pixels.channels != net.in_channels or min(pixels.height, pixels.width) < net.minimum_size:
        raise RequestError(
            f"the model's pixels, {pixels.channels}x{pixels.height}x{pixels.width}, do not fit {model.net!r}, which "
            f"takes {net.in_channels} channels of at least {net.minimum_size} x {net.minimum_size} pixels"
        )
    load_arrays(net, model.tensors, model.aliases)
    return net.eval()


def takes_size(model: Model, height: int, width: int) -> bool:
    """Whether the model's network, made for its own input size, takes images of another one: tried without memory."""
    with torch.device("meta"):
        net = create(model.net, **model.options).eval()
        if min(height, width) < net.minimum_size:
            return False
        try:
            net(torch.zeros(1, net.in_channels, height, width))
        except (RequestError, RuntimeError, ValueError):
            return False
    return True


def backbone_of(model: Model, layer: str = "") -> nn.Module:
    """From uint8 images to embeddings (logits, if the net has no linear head), or to the pooled map of a stage.

    Raises RequestError for a layer that is not a stage of the net.
    """
    net = network_of(model)
    if layer and layer not in net.stages:
        raise unknown(f"layer of {model.net}", layer, net.stages)
    if isinstance(net, Captioner):
        return CaptionSearch(net, model.pixels, model.input_tensors).eval()
    return Backbone(net, model.pixels, embedding=bool(model.head), tensors=model.input_tensors, layer=layer).eval()


def normalised(crops: Images, model: Model) -> Tensor:
    """uint8 crops [N, H, W, C] as the network's input: float32 [N, C, H, W]."""
    # A copy, because decoded images may be read-only, which torch warns about.
    normalise: nn.Module = Normalise(model.pixels, model.input_tensors)
    found: Tensor = normalise(torch.from_numpy(np.array(crops)))
    return found
