"""Receptive fields of a chain of convolutions and poolings, and what one place of a map sees on the way down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from torch import nn

from striate.anatomy.receptive import PIXEL, Operand, seen
from striate.anatomy.trace import trace
from striate.errors import RequestError
from striate.lessons.convolution import output_size
from striate.nets.base import Network

WINDOWS = ("conv2d", "max_pool2d", "avg_pool2d")


class Layer(NamedTuple):
    """A convolution or pooling with a square window."""

    name: str
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


class Seen(NamedTuple):
    """A layer's map: its side, and the receptive field of a place of it, in pixels of the image.

    Place i sees `field` pixels from `first + i * jump` on; what is outside the image is padding.
    """

    name: str
    output: int
    field: int
    jump: int
    first: int


def fields(layers: Sequence[Layer], size: int) -> list[Seen]:
    """The fields of each layer, for an image of `size` pixels a side. Raises RequestError where no window fits."""
    found, operand = [], Operand((1, 1, size, size), PIXEL)
    for layer in layers:
        side = output_size(
            operand.shape[-1], layer.kernel, stride=layer.stride, padding=layer.padding, dilation=layer.dilation
        )
        if not side:
            raise RequestError(f"the window of {layer.name} does not fit into {operand.shape[-1]} pixels")
        given = {
            "kernel_size": layer.kernel,
            "stride": layer.stride,
            "padding": layer.padding,
            "dilation": layer.dilation,
        }
        shape = (1, 1, side, side)
        field = seen("max_pool2d", given, [operand], shape)
        assert field is not None  # of a window over a map it is never the whole image
        operand = Operand(shape, field)
        found.append(Seen(layer.name, side, field.size[0], field.jump[0], field.first[0]))
    return found


def reach(layers: Sequence[Layer], place: int) -> list[tuple[int, int]]:
    """First and last place that a place of the last layer's map sees: in the image, then in each layer's map.

    Places below 0 or beyond a map are padding.
    """
    spans = [(place, place)]
    for layer in reversed(layers):
        low, high = spans[0]
        start = low * layer.stride - layer.padding
        spans.insert(0, (start, high * layer.stride - layer.padding + layer.dilation * (layer.kernel - 1)))
    return spans


def layers_of(net: Network, input_size: tuple[int, int]) -> list[Layer]:
    """The convolutions and poolings of a net that is one chain of them.

    Raises RequestError where their receptive fields, in order, are not those of a chain.
    """
    modules = dict(net.named_modules())
    steps = [step for step in trace(net, input_size).steps if step.op in WINDOWS and step.field is not None]
    found = []
    for step in steps:
        module = modules[step.module]
        if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            raise RequestError(f"{type(module).__name__} is no convolution or pooling of torch")
        settings = (module.kernel_size, module.stride, module.padding, getattr(module, "dilation", 1))
        name = step.module.removesuffix(".0").removesuffix(".conv")
        found.append(Layer(name, *(cast(int, value[0] if isinstance(value, tuple) else value) for value in settings)))
    computed = fields(found, input_size[0])
    if [one.field for one in computed] != [step.field.size[0] for step in steps if step.field]:
        raise RequestError("the net has branches: its receptive fields are not those of a chain of layers")
    return found
