"""What part of the image a unit sees, and the patches of images that excite it most.

Source: Zeiler, Fergus 2014, arXiv:1311.2901, section 4; Girshick et al. 2014, arXiv:1311.2524, Figure 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.anatomy.receptive import Field
from striate.anatomy.trace import trace_module
from striate.errors import RequestError
from striate.inspect.watching import module_of, watched
from striate.layers.modes import in_evaluation
from striate.nets.shapes import first_of
from striate.progress import Progress

BATCH = 16


class Box(NamedTuple):
    """A part of an image in pixels: rows top to bottom, columns left to right, the ends not included."""

    top: int
    left: int
    bottom: int
    right: int


class Patch(NamedTuple):
    """What excites a unit. image: its number. position: of the map. box: the field there, cut at the image's border.

    inside: the whole field lies in the image, so that no padding takes part.
    """

    image: int
    position: tuple[int, int]
    activation: float
    box: Box
    inside: bool


def field_of(net: nn.Module, layer: str, shape: Sequence[int]) -> Field:
    """The receptive field of a unit of the module `layer`, for images of `shape` (C, H, W).

    Raises RequestError for an unknown module, and one whose units see the whole image or give no map.
    """
    module_of(net, layer)
    steps = [step for step in trace_module(net, shape).steps if f"{step.module}.".startswith(f"{layer}.")]
    if not steps or steps[-1].field is None:
        raise RequestError(f"a unit of {layer!r} has no receptive field: it sees the whole image")
    return steps[-1].field


def box_of(field: Field, position: tuple[int, int]) -> Box:
    """The pixels that the unit at a position (row, column) of the map sees; it may reach beyond the image."""
    top, left = (first + at * jump for first, at, jump in zip(field.first, position, field.jump, strict=True))
    return Box(top, left, top + field.size[0], left + field.size[1])


def box_by_gradient(net: nn.Module, layer: str, images: Tensor, position: tuple[int, int]) -> Box:
    """The smallest box with all pixels of images [N, C, H, W] on which the units at a position really depend.

    It can be smaller than the field: where a ReLU is 0, nothing comes through. Raises RequestError for an unknown
    module.
    """
    x = images.detach().clone().requires_grad_()
    with in_evaluation(net), watched(net, [layer]) as outputs:
        net(x)
    (gradient,) = torch.autograd.grad(outputs[layer][:, :, position[0], position[1]].sum(), x)
    rows, columns = gradient.abs().sum((0, 1)).nonzero(as_tuple=True)
    if not len(rows):
        return Box(0, 0, 0, 0)
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


@torch.no_grad()
def exciting_patches(
    net: nn.Module,
    layer: str,
    images: Tensor,
    units: Sequence[int],
    *,
    top: int = 9,
    field: Field | None = None,
    progress: Progress | None = None,
) -> list[list[Patch]]:
    """For each of `units` (channels of the module `layer`) the `top` images [N, C, H, W] in which it is strongest.

    One patch an image: where the unit is strongest in it. Strongest first; equal ones by the image's number. field: of
    the module, where it is known.
    Raises RequestError for an unknown module, one without maps, and a unit that it does not have.
    """
    field = field or field_of(net, layer, images.shape[1:])
    best: list[Tensor] = []
    places: list[Tensor] = []
    width = 1
    shown = (progress or Progress()).bar("Looking for patches", len(images))
    with in_evaluation(net), watched(net, [layer]) as outputs, shown as bar:
        for part in torch.split(images, BATCH):
            net(part)
            maps = first_of(outputs[layer])
            if wrong := [unit for unit in units if not 0 <= unit < maps.shape[1]]:
                raise RequestError(f"{layer!r} has units 0 to {maps.shape[1] - 1}, not {wrong[0]}")
            width = maps.shape[3]
            strongest = maps[:, list(units)].flatten(2).max(2)
            best.append(strongest.values)
            places.append(strongest.indices)
            bar.advance(len(part))
    values, at = torch.cat(best), torch.cat(places)
    return [
        [
            _patch(int(image), int(at[image, column]), float(values[image, column]), width, field, images.shape[2:])
            for image in values[:, column].argsort(descending=True, stable=True)[:top]
        ]
        for column in range(len(units))
    ]


def _patch(image: int, place: int, activation: float, width: int, field: Field, size: Sequence[int]) -> Patch:
    position = divmod(place, width)
    box = box_of(field, position)
    cut = Box(max(0, box.top), max(0, box.left), min(size[0], box.bottom), min(size[1], box.right))
    return Patch(image, position, activation, cut, box == cut)


def alone(image: Tensor, box: Box) -> Tensor:
    """An image [C, H, W] with zeros everywhere but in a box: what the unit of that box sees of it, and nothing else."""
    cut = torch.zeros_like(image)
    cut[:, box.top : box.bottom, box.left : box.right] = image[:, box.top : box.bottom, box.left : box.right]
    return cut


@torch.no_grad()
def equivariance_error(layer: nn.Module, images: Tensor, shift: int) -> float:
    """How far a layer's map of a shifted image is from the shifted map, divided by the map's norm; 0: equivariant.

    images [N, C, H, W] are shifted by `shift` pixels to the right, around the border; the map by as many as that is at
    its stride, rounded to whole ones. Zero padding breaks it at the border, and a stride for shifts between its steps.
    """
    with in_evaluation(layer):
        before, after = layer(images), layer(images.roll(shift, 3))
    stride = images.shape[3] / before.shape[3]
    expected = before.roll(round(shift / stride), 3)
    return float((after - expected).norm() / expected.norm())
