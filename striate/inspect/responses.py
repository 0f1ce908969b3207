"""How large the responses of layers are: the standard deviation of what a layer adds to the next one's input.

Source: He, Zhang, Ren, Sun 2015, arXiv:1512.03385, section 4.2, Figure 7.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.blocks import SHORTCUTS
from striate.inspect.watching import replaced
from striate.layers.modes import in_evaluation


@torch.no_grad()
def layer_responses(net: nn.Module, images: Tensor) -> dict[str, float]:
    """The standard deviation of each batch normalisation's output for `images` [N, C, H, W], by module, as they run.

    That is before the activation and before the sum with a shortcut; normalisations on a shortcut itself are left out.
    Raises RequestError for a network without batch normalisation.
    """
    found: dict[str, float] = {}

    def note(name: str, y: Tensor) -> Tensor:
        found[name] = float(y.std())
        return y

    with in_evaluation(net), ExitStack() as hooks:
        for name, module in net.named_modules():
            if isinstance(module, nn.BatchNorm2d) and not set(name.split(".")) & set(SHORTCUTS):
                hooks.enter_context(replaced(net, name, lambda x, y, name=name: note(name, y)))  # type: ignore[misc]
        net(images)
    if not found:
        raise RequestError(f"{type(net).__name__} has no batch normalisation whose outputs could be compared")
    return found
