"""A network's outputs, and the layer that its maps are taken from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.watching import module_of, replaced, watched
from striate.layers.modes import in_evaluation
from striate.nets.shapes import first_of

SMALLEST = 4  # height and width of a map that shows where something is

Output = int | Sequence[int]  # the index of one output for all images, or one for each


class AtLayer(NamedTuple):
    """The map of a layer [N, C, h, w], the gradient of each image's chosen output in it, and that output [N]."""

    map: Tensor
    gradient: Tensor
    output: Tensor


def outputs_of(net: nn.Module, images: Tensor) -> Tensor:
    """The outputs [N, K] for images [N, C, H, W]; a net that gives [N] has one. Raises RequestError for others."""
    if images.ndim != 4 or not len(images):
        raise RequestError(f"images are a tensor [N, C, H, W], not {list(images.shape)}")
    made = first_of(net(images))
    rows = made[:, None] if made.ndim == 1 else made
    if rows.ndim != 2:
        raise RequestError(
            f"a network that gives one row of outputs for each image is inspected; not {list(made.shape)}"
        )
    return rows


def chosen(outputs: Tensor, output: Output) -> Tensor:
    """Of outputs [N, K] the chosen one of each image, [N]. Raises RequestError for an index that there is not."""
    places = [output] * len(outputs) if isinstance(output, int) else [int(place) for place in output]
    if len(places) != len(outputs):
        raise RequestError(f"{len(outputs)} images need as many outputs, not {len(places)}")
    for place in places:
        if not 0 <= place < outputs.shape[1]:
            raise RequestError(f"there is no output {place}; the network has {outputs.shape[1]}, counted from 0")
    return outputs[torch.arange(len(outputs)), torch.tensor(places, device=outputs.device)]


def stage_names(net: nn.Module) -> tuple[str, ...]:
    """The stages of a net of the catalogue; of another module the names of its children."""
    return tuple(getattr(net, "stages", ())) or tuple(name for name, _ in net.named_children())


def stage_maps(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The map [N, c, h, w] of each stage that gives one, in the order in which they are computed, without a graph."""
    with in_evaluation(net), torch.no_grad(), watched(net, stage_names(net)) as found:
        outputs_of(net, images)
    return {name: first_of(made) for name, made in found.items() if first_of(made).ndim == 4}


def default_layer(net: nn.Module, image: Tensor) -> str:
    """The last stage whose map is at least 4 x 4; the last stage where none is. Raises RequestError without a map.

    image: [N, C, H, W], of which the first is run.
    """
    maps = {name: made for name, made in stage_maps(net, image[:1]).items() if min(made.shape[2:]) > 1}
    large = [name for name, made in maps.items() if min(made.shape[2:]) >= SMALLEST]
    names = large or list(maps)
    if not names:
        raise RequestError(f"no stage of {type(net).__name__} gives a map of several positions; give a layer")
    return names[-1]


def at_layer(
    net: nn.Module, images: Tensor, layer: str, output: Output, given: Callable[[Tensor], Tensor] | None = None
) -> AtLayer:
    """The map at a layer, and the gradient of the chosen outputs in it.

    given: what the layer's map is replaced with, of the same shape. No gradient is computed below the layer.
    Raises RequestError for a layer that is not run, or gives no map.
    """
    leaves: list[Tensor] = []

    def cut(inputs: Tensor, made: Tensor) -> Tensor:
        if not isinstance(made, Tensor) or made.ndim != 4:
            raise RequestError(f"the layer {layer!r} gives no map [N, C, h, w]")
        map_ = made.detach() if given is None else given(made.detach())
        torch.set_grad_enabled(True)  # from here on; the context below restores it
        leaves.append(map_.requires_grad_())
        return leaves[-1].clone()  # the next layer may work in place

    module_of(net, layer)
    with in_evaluation(net), torch.no_grad(), replaced(net, layer, cut):
        wanted = chosen(outputs_of(net, images), output)
        if not leaves:
            raise RequestError(f"the layer {layer!r} is not run in a forward pass")
        if not wanted.requires_grad:
            raise RequestError(f"the outputs do not depend on the layer {layer!r}")
        gradient = torch.autograd.grad(wanted.sum(), leaves[-1], allow_unused=True)[0]
    if gradient is None:
        raise RequestError(f"the outputs do not depend on the layer {layer!r}")
    return AtLayer(leaves[-1].detach(), gradient, wanted.detach())
