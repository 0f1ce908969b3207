"""How large gradients are layer by layer, and what cures it when they vanish or explode on their way down.

Source: Glorot, Bengio 2010, section 4.2; He et al. 2015, arXiv:1502.01852, section 2.2; Lee et al. 2014,
arXiv:1409.5185.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.watching import watched
from striate.nets.build import create_classifier


class GradientNorms(NamedTuple):
    """layers: names, in order. norms: Euclidean norms of the loss's gradient in each layer's output.

    ratio: the first layer's over the last one's: about 1 where gradients keep their size, near 0 where they vanish on
    their way down, large where they explode.
    """

    layers: tuple[str, ...]
    norms: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """First layer over last."""
        return self.norms[0] / self.norms[-1] if self.norms[-1] else float("nan")


def gradient_norms(net: nn.Module, images: Tensor, targets: Tensor, heads: Sequence[nn.Module] = ()) -> GradientNorms:
    """The gradients of the cross-entropy on images [N, C, H, W] with classes [N], in the mode in which `net` is.

    heads: auxiliary heads at equal distances, each for the map of a convolution, whose losses are added with a weight
    of 0.3; `global_head` makes one. The statistics of batch norms are left as they are.
    Raises RequestError for a network with fewer than two convolutions and linear layers that run.
    """
    names = [name for name, part in net.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    kept = {name: value.clone() for name, value in net.named_buffers()}
    try:
        with watched(net, names) as outputs, torch.enable_grad():
            loss = F.cross_entropy(net(images), targets)
            ran = [name for name in names if name in outputs and outputs[name].requires_grad]
            maps = [name for name in ran if outputs[name].ndim == 4]
            for place, head in enumerate(heads, start=1):
                at = maps[place * len(maps) // (len(heads) + 1)]
                loss = loss + 0.3 * F.cross_entropy(head(outputs[at]), targets)
    finally:
        for name, value in net.named_buffers():
            value.data.copy_(kept[name])
    if len(ran) < 2:
        raise RequestError(f"{type(net).__name__} has {len(ran)} layers with a gradient; two are needed to compare")
    gradients = torch.autograd.grad(loss, [outputs[name] for name in ran], allow_unused=True)
    pairs = [(n, float(g.norm())) for n, g in zip(ran, gradients, strict=True) if g is not None]
    return GradientNorms(tuple(name for name, _ in pairs), tuple(norm for _, norm in pairs))


def global_head(channels: int, classes: int) -> nn.Module:
    """An auxiliary head for a map [N, channels, H, W]: its mean, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def cures(depth: int, images: Tensor, targets: Tensor, *, seed: int = 0) -> dict[str, GradientNorms]:
    """The gradients of a CIFAR network of `depth` (6n + 2) layers at initialisation, and with each cure.

    "plain": no shortcuts, no normalisation, weights of standard deviation 0.01, as in AlexNet. "He": their deviation by
    the number of inputs. "batch norm", "shortcuts": these with the small weights. "auxiliary heads": two losses on the
    way. "He and shortcuts": both. images [N, 3, H, W], targets [N], below 10. In float64: float32 ends at 1e-45.
    """

    def small(net: nn.Module) -> None:
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)

    def made(name: str, norm: str, initialise: Callable[[nn.Module], None] | None) -> nn.Module:
        torch.manual_seed(seed)
        net = create_classifier(f"{name}{depth}", options={"swap_norm": norm} if norm else None).double().train()
        if initialise is not None:
            initialise(net)
        return net

    with torch.random.fork_rng():
        nets = {
            "plain": made("plain", "none", small),
            "He": made("plain", "none", None),
            "batch norm": made("plain", "", small),
            "shortcuts": made("resnet", "none", small),
            "He and shortcuts": made("resnet", "none", None),
            "auxiliary heads": made("plain", "none", small),
        }
        heads = [global_head(channels, 10).double() for channels in (16, 32)]
    return {
        name: gradient_norms(net, images.double(), targets, heads if name == "auxiliary heads" else ())
        for name, net in nets.items()
    }
