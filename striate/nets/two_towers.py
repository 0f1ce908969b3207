"""AlexNet on two devices, as in 2012: half of the maps on each, which exchange them in some layers only."""

from __future__ import annotations

import copy
from collections import OrderedDict

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.lrn import LRN
from striate.nets.alexnet import ROWS, AlexNet

Device = str | torch.device


class TwoTowers(nn.Module):
    """A copy of a two-tower AlexNet with a tower on each of two devices; fc8 is on the first.

    Images [N, in_channels, H, W] -> logits [N, classes], on the first device. Nothing crosses between the devices but
    the image, and the maps before the layers of `exchanges`: conv3, fc6, fc7 and fc8. On graphics cards both towers
    run at once. Logits and gradients are those of the network on one device. `joined` gives its state, for saving.
    Raises RequestError for a network without two towers, or one whose normalisation crosses them.
    Source: Krizhevsky, Sutskever, Hinton 2012, section 3.2 and Figure 2.
    """

    def __init__(self, net: AlexNet, devices: tuple[Device, Device]) -> None:
        rows = ROWS[net.table]
        if not any(row.sees == "own" for row in rows):
            raise RequestError(f"{net.name} has one tower: every layer sees all maps")
        crossing = [path for path, part in net.named_modules() if isinstance(part, LRN) and part.groups != 2]
        if crossing:
            raise RequestError(f"{crossing[0]} of {net.name} normalises across the towers: create 'alexnet_towers'")
        super().__init__()
        self.devices = tuple(torch.device(device) for device in devices)
        self.layers = tuple(row.layer for row in rows[:-1])
        self.exchanges = (*(row.layer for row in rows[1:-1] if row.sees == "all"), rows[-1].layer)
        self.towers = nn.ModuleList(
            nn.ModuleDict({name: _half(net.get_submodule(name), tower) for name in self.layers}).to(device)
            for tower, device in enumerate(self.devices)
        )
        self.head = copy.deepcopy(net.head).to(self.devices[0])
        self.full = {row.layer for row in rows if "full" in row.order}

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes]."""
        seen = [x.to(device) for device in self.devices]
        for name in self.layers:
            if name in self.exchanges:
                seen = [self._both(seen, device) for device in self.devices]
            if name in self.full:
                seen = [maps.flatten(1) for maps in seen]
            seen = [tower[name](maps) for tower, maps in zip(self.towers, seen, strict=True)]  # type: ignore[index]
        logits: Tensor = self.head(self._both(seen, self.devices[0]))
        return logits

    def joined(self) -> dict[str, Tensor]:
        """The state of the same network on one device, on the CPU."""
        halves = [tower.state_dict() for tower in self.towers]
        state = {name: torch.cat([half[name].cpu() for half in halves]) for name in halves[0]}
        return state | {f"head.{name}": value.cpu() for name, value in self.head.state_dict().items()}

    @staticmethod
    def _both(maps: list[Tensor], device: torch.device) -> Tensor:
        """The maps of both towers, on one device."""
        return torch.cat([part.to(device) for part in maps], 1)


def _half(layer: nn.Module, tower: int) -> nn.Sequential:
    """The layer with only this tower's outputs; what sees its own maps only, sees half of the inputs, too."""
    assert isinstance(layer, nn.Sequential)
    return nn.Sequential(OrderedDict((name, _half_of(part, tower)) for name, part in layer.named_children()))


def _half_of(part: nn.Module, tower: int) -> nn.Module:
    if isinstance(part, LRN):
        return LRN(part.size, alpha=part.alpha, beta=part.beta, k=part.k)
    half = copy.deepcopy(part)
    if isinstance(half, nn.Conv2d):
        half.in_channels, half.out_channels = half.in_channels // half.groups, half.out_channels // 2
        half.groups = 1
    if isinstance(half, nn.Linear):
        half.out_features //= 2
    for name, parameter in part.named_parameters():
        setattr(half, name, nn.Parameter(parameter.detach().chunk(2)[tower].clone()))
    return half
