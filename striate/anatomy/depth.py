"""The depth of a network: layers with weights on its longest path."""

from __future__ import annotations

from collections.abc import Sequence

from striate.anatomy.trace import PRODUCTS, trace
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets.base import Network


def depth(net: Network, input_size: Sequence[int]) -> int:
    """Convolutions and linear layers on the longest path from the image to the logits, as papers count them.

    AlexNet has 8, VGG-19 19, GoogLeNet 22, ResNet-152 152. Gates of squeeze-and-excitation are beside the path:
    SENet-154 has 154. Runs on the meta device. Raises RequestError for an image that is too small.
    """
    gates = tuple(name for name, module in net.named_modules() if isinstance(module, SqueezeExcitation))
    reached = {0: 0}
    for step in trace(net, input_size).steps:
        layer = step.op in PRODUCTS and not any(_inside(step.module, gate) for gate in gates)
        reached[step.number] = max(reached[number] for number in step.inputs) + layer
    return max(reached.values())


def _inside(module: str, other: str) -> bool:
    return module == other or module.startswith(f"{other}.")
