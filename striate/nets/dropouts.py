"""`add_dropout` and `add_input_dropout`: dropout in any network, before the head, after activations, of the image."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, get_args

from torch import Tensor, nn

from striate.errors import RequestError, unknown
from striate.layers.dropout import AlphaDropout, DropoutLinear, InputDropout
from striate.nets.activations import ACTIVATIONS, KINDS, activations_of, set_alpha_dropout
from striate.nets.base import Network
from striate.nets.changing import check_once, record, replace_layers
from striate.nets.dataflow import dataflow
from striate.nets.options import check_dropout
from striate.nets.own import OwnNet

DropoutPlace = Literal[
    "head", "activations", "relu", "leaky-relu", "rrelu", "prelu", "elu", "selu", "maxout", "tanh", "sigmoid"
]
DropoutOf = Literal["values", "maps"]


def add_dropout(
    net: nn.Module,
    rate: float,
    place: DropoutPlace = "head",
    of: DropoutOf = "values",
    *,
    images: Tensor | None = None,
) -> int:
    """Add dropout to any network, in place; returns in how many places.

    In training each value is zero with probability `rate`, and the others are divided by 1 - rate; in evaluation it is
    the identity. place: "head", the input of the last linear layer, where a network that has dropout there
    already gets this rate; "activations", the output of every activation that `swap_activation` would swap;
    the name of an activation, the output of those of this kind. of: "values", or "maps", whole channels of an image
    (spatial dropout; not for "head"). Where an activation is SELU, dropout of values is alpha dropout.
    The names of parameters stay, but for activations that have some, which are now `NAME.activation`.

    images: a batch [N, C, H, W] as the net takes it, of which only the shape matters; None: see `dataflow`.
    A `Network` that `create` made keeps the choice in its options, and takes it once.
    Raises RequestError for a rate outside [0, 1), an unknown place, and a net without such layers.
    Source: Srivastava et al. 2014, JMLR 15; of maps: Tompson et al. 2015, arXiv:1411.4280, section 3.2; for SELU:
    Klambauer et al. 2017, arXiv:1706.02515.
    """
    check_dropout(rate)
    for value, known, what in ((place, DropoutPlace, "place"), (of, DropoutOf, "kind")):
        if value not in get_args(known):
            raise unknown(f"{what} of dropout", str(value), get_args(known))
    check_once(net, "add_dropout")
    count = _at_head(net, rate, of, images) if place == "head" else _at_activations(net, rate, place, of, images)
    if any(isinstance(layer, nn.SELU) for layer in net.modules()):
        set_alpha_dropout(net, alpha=True)
    chosen = {name: value for name, value in (("dropout_place", place), ("dropout_of", of)) if value not in _DEFAULTS}
    record(net, {"add_dropout": rate, **chosen})
    return count


_DEFAULTS = ("head", "values")


def _at_head(net: nn.Module, rate: float, of: DropoutOf, images: Tensor | None) -> int:
    if of == "maps":
        raise RequestError("dropout before the head is of values: a vector has no maps")
    flow = dataflow(net, (nn.Linear, nn.Dropout, AlphaDropout), images)
    last = flow.last
    own = flow.calls[last][0].source if isinstance(last, nn.Linear) else getattr(net, "dropout", None)
    if isinstance(own, nn.Dropout):
        own.p = rate
        return 1
    if isinstance(own, AlphaDropout):
        own.rate = rate
        return 1
    if type(last) is not nn.Linear:
        raise RequestError(
            "the network does not end in a linear layer, so there is no head to put dropout before; "
            "choose a place such as 'activations'"
        )
    replace_layers(net, {last: DropoutLinear(last, rate)})
    return 1


def _at_activations(net: nn.Module, rate: float, place: str, of: DropoutOf, images: Tensor | None) -> int:
    flow = dataflow(net, ACTIVATIONS, images)
    if flow.functions:
        raise RequestError(
            f"{flow.functions[0]} is called as a function, after which no layer can be put: make it a layer"
        )
    found = [layer for layer in activations_of(net, flow) if place == "activations" or type(layer) in KINDS[place]]
    if of == "maps":
        found = [layer for layer in found if {len(call.shape) for call in flow.calls[layer]} == {4}]
    if not found:
        what = "activation" if place == "activations" else f"activation of the kind {place!r}"
        raise RequestError(f"no {what} was found to put dropout after: none of the layers that ran is one")
    kind = nn.Dropout2d if of == "maps" else nn.Dropout
    replace_layers(
        net,
        {
            layer: nn.Sequential(OrderedDict(activation=layer, dropout=kind(rate))).train(layer.training)
            for layer in found
        },
    )
    return len(found)


def add_input_dropout(net: nn.Module, rate: float) -> None:
    """Add dropout of the values of the image to any network, in place: before its first stage, or before the module.

    For a module that is no `Network`, and for one that lists no stages, it is before the whole module. A small rate
    such as 0.1 is usual. A network that `create` made keeps the choice in its options, and takes it once.
    Raises RequestError for a rate outside [0, 1), and a network that reads symbols.
    Source: Srivastava et al. 2014, JMLR 15, section 4 (a fifth of the inputs).
    """
    check_dropout(rate)
    check_once(net, "add_input_dropout")
    first = net.body if isinstance(net, OwnNet) else net
    if isinstance(net, Network):
        if net.kind == "sequence-model":
            raise RequestError(f"{net.name} reads symbols, which have no values to drop")
        first = net.get_submodule(net.stages[0]) if net.stages else first
    first.register_forward_pre_hook(InputDropout(rate))
    record(net, {"add_input_dropout": rate})
