"""`swap_activation`: another activation in any network.

Each is a function of one value x, in training and evaluation alike unless stated:

    relu        max(0, x)                                    Nair, Hinton 2010
    leaky-relu  x above 0, 0.01 x below                      Maas, Hannun, Ng 2013
    rrelu       x above 0, a x below; a random in training   Xu, Wang, Chen, Li 2015, arXiv:1505.00853
    prelu       x above 0, a x below; a learned, 0.25        He, Zhang, Ren, Sun 2015, arXiv:1502.01852
    elu         x above 0, exp(x) - 1 below                  Clevert, Unterthiner, Hochreiter 2015, arXiv:1511.07289
    selu        s x above 0, s a (exp(x) - 1) below          Klambauer et al. 2017, arXiv:1706.02515
    maxout      max(W1 x + b1, W2 x + b2), of all channels   Goodfellow et al. 2013, arXiv:1302.4389
    tanh        tanh(x)                                      LeCun, Bottou, Orr, Mueller 1998
    sigmoid     1 / (1 + exp(-x))
    none        x
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn

from striate.errors import RequestError, unknown
from striate.layers.activation import MaxoutActivation, RReLU, ScaledTanh
from striate.layers.dropout import AlphaDropout
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets.base import Net
from striate.nets.changing import like, record, replace_layers
from striate.nets.dataflow import Dataflow, dataflow
from striate.nets.initialise import lecun_normal

Activation = Literal[
    "relu", "leaky-relu", "rrelu", "prelu", "elu", "selu", "maxout", "tanh", "sigmoid", "none"
]  # fmt: skip

# What counts as an activation. Softmax and GLU do not: they are not functions of one value.
ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *(nn.ReLU, nn.LeakyReLU, nn.RReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
    *(nn.Hardtanh, nn.Tanh, ScaledTanh, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus, nn.Softsign, MaxoutActivation),
)
_SIGMOIDS = (nn.Sigmoid, nn.Hardsigmoid)
_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "rrelu": RReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}

# The classes of each kind of activation, by the name of the kind.
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "relu": (nn.ReLU,),
    "leaky-relu": (nn.LeakyReLU,),
    "rrelu": (nn.RReLU, RReLU),
    "prelu": (nn.PReLU,),
    "elu": (nn.ELU,),
    "selu": (nn.SELU,),
    "maxout": (MaxoutActivation,),
    "tanh": (nn.Tanh, ScaledTanh),
    "sigmoid": (nn.Sigmoid,),
}


def swap_activation(net: nn.Module, activation: Activation, *, images: Tensor | None = None) -> int:
    """Put `activation` in place of every activation of `net`, in place; returns how many layers were swapped.

    An activation is a layer of one of the classes of `ACTIVATIONS` (ReLU6 and Hardswish, too), or of a subclass, that
    runs when images pass. What stays: squeeze-and-excitation, and sigmoids whose output multiplies another tensor,
    which are gates; a network's `head`; a layer whose output is the module's own; softmax. Auxiliary heads' activations
    are swapped, if the images that the net was created for are large enough to run them.

    "prelu" has a slope for each channel, one for all where a layer is called with several numbers of channels.
    "maxout" has two pieces, 2 C (C + 1) parameters for C channels (see MaxoutActivation). "selu" also makes every
    nn.Dropout an alpha dropout of the same rate, and draws the weights of all convolutions and linear layers anew, by
    LeCun's rule, with biases of zero: swap before training. Other activations make alpha dropout the usual one again,
    and leave the weights. After "none" there is no activation left to swap.

    images: a batch [N, C, H, W] as the net takes it, of which only the shape matters; None: see `dataflow`.
    A `Network` that `create` made keeps the choice in its options, so that a saved model is made again with it.
    Raises RequestError for an unknown activation, a net without any, and one that calls activations as functions, which
    cannot be swapped.
    """
    if activation not in get_args(Activation):
        raise unknown("activation", str(activation), get_args(Activation))
    flow = dataflow(net, ACTIVATIONS, images)
    if flow.functions:
        raise RequestError(
            f"{flow.functions[0]} is called as a function, which cannot be swapped: make it a layer, such as nn.ReLU"
        )
    found = activations_of(net, flow)
    if not found:
        raise RequestError("no activation was found that could be swapped: none of the layers that ran is one")
    replace_layers(net, {layer: like(net, _made(activation, layer, flow)) for layer in found})
    set_alpha_dropout(net, alpha=activation == "selu")
    if activation == "selu":
        lecun_normal(net)
    record(net, {"swap_activation": activation})
    return len(found)


def activations_of(net: nn.Module, flow: Dataflow) -> list[nn.Module]:
    """The activations that can be swapped, in the order in which they ran."""
    kept = {flow.last} | {part for layer in net.modules() if isinstance(layer, SqueezeExcitation)
                          for part in layer.modules()}  # fmt: skip
    if isinstance(net, Net):
        kept |= set(net.head.modules())
    gates = {layer for layer in flow.gates if isinstance(layer, _SIGMOIDS)}
    return [layer for layer in flow.calls if isinstance(layer, ACTIVATIONS) and layer not in kept | gates]


def _made(activation: str, layer: nn.Module, flow: Dataflow) -> nn.Module:
    made: nn.Module
    if activation == "prelu":
        made = nn.PReLU(flow.channels(layer) or 1)
    elif activation == "maxout":
        channels, dimensions = flow.channels(layer), {len(call.shape) for call in flow.calls[layer]}
        if channels is None or dimensions not in ({2}, {4}):
            raise RequestError(
                "maxout needs an activation of its own for each number of channels: one layer has several"
            )
        made = MaxoutActivation(channels, on_maps=dimensions == {4})
    else:
        made = _PLAIN[activation]()
    return made.train(layer.training)


def set_alpha_dropout(net: nn.Module, *, alpha: bool) -> None:
    """Make every usual dropout alpha dropout of the same rate, or the other way round."""
    if alpha:
        usual = [layer for layer in net.modules() if type(layer) is nn.Dropout]
        replace_layers(net, {layer: AlphaDropout(layer.p).train(layer.training) for layer in usual})
    else:
        ours = [layer for layer in net.modules() if isinstance(layer, AlphaDropout)]
        replace_layers(net, {layer: nn.Dropout(layer.rate).train(layer.training) for layer in ours})
