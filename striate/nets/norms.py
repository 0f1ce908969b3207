"""`swap_norm` and `move_norm`: another normalisation in any network, and its place before or after the activation.

Each computes y = scale (x - mean) / sqrt(variance + eps) + shift, scale and shift for each channel. They differ in the
values of a map [N, C, H, W] that share a mean and a (biased) variance, the cubes of Wu and He's Figure 2:

    batch     N, H, W        for each channel               Ioffe, Szegedy 2015, arXiv:1502.03167
    layer     C, H, W        for each image                 Ba, Kiros, Hinton 2016, arXiv:1607.06450
    instance  H, W           for each image and channel     Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022
    group     C / G, H, W    for each image and group       Wu, He 2018, arXiv:1803.08494

"local-response" divides each value by its neighbours' in 5 channels instead: Krizhevsky, Sutskever, Hinton 2012.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from striate.errors import RequestError, unknown
from striate.layers.lrn import LRN
from striate.nets.activations import ACTIVATIONS, activations_of
from striate.nets.changing import check_once, like, record, replace_layers
from striate.nets.dataflow import Dataflow, dataflow

Norm = Literal["batch", "layer", "instance", "group", "local-response", "none"]
Place = Literal["before", "after"]

NORMS: tuple[type[nn.Module], ...] = (
    *(_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, LRN),
)
_LAYERS: tuple[type[nn.Module], ...] = (_ConvNd, nn.Linear)
_MOST_GROUPS = 32  # the default of Wu and He
_EPS = 1e-5  # where the norm before had none


def groups_of(channels: int) -> int:
    """The groups of a group normalisation: 32, or the largest divisor of the channels below that leaves two a group.

    With one channel in a group it would be instance normalisation. A prime number of channels is one group.
    """
    divisors = (groups for groups in range(_MOST_GROUPS, 1, -1) if channels % groups == 0 and 2 * groups <= channels)
    return next(divisors, 1)


def swap_norm(net: nn.Module, norm: Norm, *, images: Tensor | None = None) -> int:
    """Put `norm` in place of every normalisation of `net`, in place; returns how many layers were swapped.

    A normalisation is a layer of one of the classes of `NORMS` that runs when images pass, on a map [N, C, H, W] or a
    vector [N, C]; a LayerNorm over the last axis of anything else stays. Layers that are of this kind already stay.
    Scale, shift and eps are those of the layer before, as values; a local response normalisation before had none, and
    the new ones start as 1 and 0. "group" has `groups_of(C)` groups; "layer" is a group normalisation with one.
    "local-response" and "none" have no scale and shift: a convolution or linear layer directly before gets a bias, of
    zero, if it has none. Instance and local response normalisation are of maps only, instance of larger ones than 1x1.

    images: a batch [N, C, H, W] as the net takes it, of which only the shape matters; None: see `dataflow`.
    A `Network` that `create` made keeps the choice in its options; its norms are swapped once, before they are moved.
    Raises RequestError for an unknown norm, and a net without any or whose norms cannot be of this kind.
    """
    if norm not in get_args(Norm):
        raise unknown("norm", str(norm), get_args(Norm))
    check_once(net, "swap_norm", "move_norm")
    flow = dataflow(net, (*NORMS, *_LAYERS), images)
    found = _norms_of(flow)
    if not found:
        raise RequestError("no normalisation was found that could be swapped: none of the layers that ran is one")
    swapped = [layer for layer in found if _kind(layer) != norm]
    replace_layers(net, {layer: like(net, _made(norm, layer, flow)) for layer in swapped})
    if norm in ("local-response", "none"):
        for layer in swapped:
            if getattr(layer, "bias", None) is not None:
                _give_bias(call.source for call in flow.calls[layer])
    record(net, {"swap_norm": norm})
    return len(swapped)


def move_norm(net: nn.Module, place: Place, *, affine: bool = True, images: Tensor | None = None) -> int:
    """Put every normalisation "before" or "after" the activation next to it, in place; returns how many were moved.

    Only a norm and an activation of which one takes the other's output, and nothing else does, are moved: they exchange
    their places, and so their names. The last norm of a residual branch, before the addition, stays.
    affine: whether norms next to an activation, moved or not, have a scale and a shift; new ones start as 1 and 0.
    What counts as a norm and as an activation, and `images`, are as in `swap_norm` and `swap_activation`.
    Raises RequestError for an unknown place, a net without such a pair, and a layer that is called several times.
    Source: the order in Ioffe and Szegedy 2015, section 3.2, is "before"; Mishkin, Sergievskiy, Matas 2016,
    arXiv:1606.02228, found "after" the better.
    """
    if place not in get_args(Place):
        raise unknown("place", str(place), get_args(Place))
    check_once(net, "move_norm", "add_dropout")
    flow = dataflow(net, (*NORMS, *ACTIVATIONS), images)
    pairs = _pairs(net, flow)
    if not pairs:
        raise RequestError("no normalisation was found directly before or after an activation, as layers of their own")
    for layer in {layer for pair in pairs for layer in pair}:
        if len(flow.calls[layer]) > 1:
            raise RequestError(
                f"one {type(layer).__name__} is called {len(flow.calls[layer])} times: give each its own"
            )
    moved = [(first, then) for first, then in pairs if isinstance(first, NORMS) == (place == "after")]
    replace_layers(net, dict(moved) | {then: first for first, then in moved})
    for layer in {layer for pair in pairs for layer in pair if isinstance(layer, NORMS)}:
        _set_affine(layer, flow.calls[layer][0].shape[1], affine)
        like(net, layer)
    record(net, {"move_norm": place} | ({} if affine else {"norm_affine": False}))
    return len(moved)


def _norms_of(flow: Dataflow) -> list[nn.Module]:
    found = [layer for layer in flow.calls if isinstance(layer, NORMS)]
    return [
        layer for layer in found if _dimensions(layer, flow) in ((2,) if isinstance(layer, nn.LayerNorm) else (2, 4))
    ]


def _dimensions(layer: nn.Module, flow: Dataflow) -> int:
    return len(flow.calls[layer][0].shape)


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, _BatchNorm):
        return "batch"
    if isinstance(layer, _InstanceNorm):
        return "instance"
    if isinstance(layer, nn.LayerNorm):
        return "layer"
    if isinstance(layer, nn.GroupNorm):
        return "layer" if layer.num_groups == 1 else "group"
    return "local-response"


def _made(norm: str, layer: nn.Module, flow: Dataflow) -> nn.Module:
    """The new norm, with the old one's scale and shift."""
    if norm == "none":
        return nn.Identity()
    maps, channels = _dimensions(layer, flow) == 4, flow.channels(layer)
    if norm in ("instance", "local-response") and not maps:
        raise RequestError(f"a {type(layer).__name__} is of vectors: {norm} normalisation is of maps only")
    if norm == "instance" and any(call.shape[2:] == (1, 1) for call in flow.calls[layer]):
        raise RequestError("a norm is of maps of one pixel, of which instance normalisation leaves only the shift")
    if norm == "local-response":
        return LRN().train(layer.training)
    if channels is None:
        raise RequestError(f"a {type(layer).__name__} is called with several numbers of channels: give each its own")
    old = [getattr(layer, name, None) for name in ("weight", "bias")]
    affine = _kind(layer) == "local-response" or old[0] is not None
    eps = float(getattr(layer, "eps", _EPS))
    made: nn.Module
    if norm == "batch":
        made = (nn.BatchNorm2d if maps else nn.BatchNorm1d)(channels, eps=eps, affine=affine)
    elif norm == "instance":
        made = nn.InstanceNorm2d(channels, eps=eps, affine=affine)
    else:
        made = nn.GroupNorm(1 if norm == "layer" else groups_of(channels), channels, eps=eps, affine=affine)
    for name, value in zip(("weight", "bias"), old, strict=True):
        if isinstance(value, Tensor):
            setattr(made, name, nn.Parameter(value.detach().clone()))
    return made.train(layer.training)


@torch.no_grad()
def _give_bias(layers: Iterable[nn.Module | None]) -> None:
    for layer in layers:
        if isinstance(layer, _LAYERS) and layer.bias is None:
            weight = cast(Tensor, layer.weight)
            channels = layer.out_features if isinstance(layer, nn.Linear) else cast(_ConvNd, layer).out_channels
            layer.bias = nn.Parameter(weight.new_zeros(channels))


def _pairs(net: nn.Module, flow: Dataflow) -> list[tuple[nn.Module, nn.Module]]:
    """Norms and activations that follow each other and share their tensor with nothing else; a layer is in one pair."""
    norms, activations = set(_norms_of(flow)), set(activations_of(net, flow))
    pairs: list[tuple[nn.Module, nn.Module]] = []
    paired: set[nn.Module] = set()
    for then, calls in flow.calls.items():
        first = calls[0].source
        if first is None or {first, then} & paired or flow.followers[first] != {then}:
            continue
        if (first in norms and then in activations) or (first in activations and then in norms):
            pairs.append((first, then))
            paired |= {first, then}
    return pairs


def _set_affine(layer: nn.Module, channels: int, affine: bool) -> None:
    if isinstance(layer, LRN | nn.LocalResponseNorm):
        return
    for name, start in (("weight", 1.0), ("bias", 0.0)):
        if not affine:
            layer.register_parameter(name, None)
        elif getattr(layer, name) is None:
            layer.register_parameter(name, nn.Parameter(torch.full((channels,), start)))
    setattr(layer, "elementwise_affine" if isinstance(layer, nn.LayerNorm) else "affine", affine)
