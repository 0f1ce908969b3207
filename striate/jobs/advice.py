"""Advice: what is remarkable about a network's design, and what to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from striate.anatomy.advice import Advice


def advice(
    net: str | nn.Module,
    input_size: Sequence[int] | None = None,
    *,
    classes: int | None = None,
    options: Mapping[str, object] | None = None,
) -> list[Advice]:
    """At most five findings about a network's design: bottlenecks, costly kernels, fully connected layers and others.

    net: a name, as of `striate.create` (which takes `classes` and `options`, too), the path of a net file (.toml), or
    any `nn.Module`. input_size:
    (height, width), or (channels, height, width); of a named network its own by default. From a trace on the meta
    device: nothing is trained, and no accuracy is predicted. Raises RequestError for an unknown name, and for a module
    without `input_size` or that does not run at it.
    """
    from striate.anatomy.advice import advice as find
    from striate.errors import RequestError

    if not isinstance(net, str):
        if input_size is None:
            raise RequestError("advice on a module needs the input_size: height and width, such as (224, 224)")
        return find(net, input_size)
    import torch

    from striate.nets.build import create
    from striate.nets.net_file import named

    name, chosen_options = named(net, options)
    size = None if input_size is None else tuple(input_size)[-2:]
    with torch.device("meta"):
        made = create(name, classes=classes, input_size=size, options=chosen_options)
    chosen = made.options["input_size"]
    assert isinstance(chosen, list)
    return find(made, input_size or chosen)
