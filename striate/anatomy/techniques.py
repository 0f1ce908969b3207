"""The techniques that a network uses, found in the network itself: by its layers, and by what it does with their maps.

`python -m striate.anatomy.facts` writes them for all networks of the catalogue, and a test finds them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from striate.anatomy.trace import Trace, trace
from striate.nets.base import Net, Network
from striate.nets.build import instantiate, variants
from striate.nets.catalog import TECHNIQUES, entries
from striate.reading import TEXT, read_file

# Layers by the name of their class, which may be torch's or ours.
_CLASSES: Mapping[str, str] = {
    "BatchNorm2d": "batch normalisation",
    "LayerNorm": "layer normalisation",
    "GateNorm": "layer normalisation",
    "LRN": "local response normalisation",
    "AlphaDropout": "alpha dropout",
    "Dropout2d": "dropout",
    "UnscaledDropout": "dropout",
    "ReLU": "ReLU",
    "ReLU6": "ReLU6",
    "PReLU": "PReLU",
    "SELU": "SELU",
    "SiLU": "swish",
    "Maxout": "maxout",
    "Tanh": "tanh",
    "ScaledTanh": "tanh",
    "DropPath": "drop path",
    "StochasticDepth": "stochastic depth",
    "SqueezeExcitation": "squeeze-and-excitation",
    "HyperConv2d": "hypernetwork",
    "HyperLstmCell": "hypernetwork",
    "LstmCell": "LSTM",
    "ConvTranspose2d": "transposed convolution",
    "Unpooling": "unpooling",
    "MaxPool2d": "maximum pooling",
    "AvgPool2d": "average pooling",
    "Subsampling": "trainable subsampling",
    "TableConv2d": "table of connections",
    "RBF": "radial basis functions",
    "SLayer": "self-organisation",
    "CognitronLayer": "self-organisation",
}

# Convolutions of a special form.
_FORMS: Mapping[str, Callable[[nn.Conv2d], bool]] = {
    "depthwise convolution": lambda conv: 1 < conv.in_channels == conv.groups,
    "grouped convolution": lambda conv: 1 < conv.groups < conv.in_channels,
    "dilated convolution": lambda conv: max(conv.dilation) > 1,
    "asymmetric convolution": lambda conv: min(conv.kernel_size) == 1 < max(conv.kernel_size),
    "1x1 convolution": lambda conv: conv.kernel_size == (1, 1),
}


def techniques(net: Network, traced: Trace) -> list[str]:
    """The names of the techniques of a network, sorted; `traced`: its trace."""
    found: set[str] = set()
    for module in net.modules():
        name = type(module).__name__
        if name in _CLASSES:
            found.add(_CLASSES[name])
        if name == "Dropout" and module.p:
            found.add("dropout")
        if isinstance(module, nn.Conv2d):
            found |= {form for form, has in _FORMS.items() if has(module)}
    if isinstance(net, Net) and net.auxiliary_heads:
        found.add("auxiliary heads")
    inside = {path for path, module in net.named_modules() if type(module).__name__ in _CLASSES}
    for step in traced.steps:
        # Not what a layer such as LRN does within itself.
        maps = len(step.inputs) > 1 and len(step.output) == 4 and step.module not in inside
        if step.op == "add" and maps:
            found.add("sum of branches")
        if step.op == "cat" and maps:
            found.add("concatenation of branches")
        if step.op == "mean" and step.module == "":
            found.add("global average pooling")
    return sorted(found)


def file_text(files: Sequence[str]) -> str:
    """The text of the file of techniques: a line for each network of the catalogue.

    They are found again in the networks of these modules (none: of all), and in those that are not in the file yet.
    """
    stored = json.loads(read_file(TECHNIQUES, TEXT))
    nets = entries(tiny=True)
    kept = {one.name for one in nets if files and one.file not in files} & stored.keys()
    found = {one.name: stored[one.name] if one.name in kept else techniques_of(one.name) for one in nets}
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)) + "\n}\n"


def techniques_of(name: str) -> list[str]:
    """The techniques of the network of that name, found on the meta device."""
    (facts,) = entries(name, tiny=True)
    with torch.device("meta"):
        net = instantiate(
            variants(facts.file)[name],
            classes=facts.classes,
            in_channels=facts.in_channels,
            input_size=facts.input_size,
        )
    return techniques(net, trace(net, facts.input_size))
