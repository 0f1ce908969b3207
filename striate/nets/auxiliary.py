"""`add_auxiliary_heads`: heads on earlier stages of any classifier, whose losses add a gradient there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.errors import RequestError, unknown
from striate.nets.base import Net
from striate.nets.changing import check_once, like, record
from striate.nets.dataflow import passed_through


def add_auxiliary_heads(net: Net, stages: Sequence[str]) -> int:
    """Put a head on each of these stages, in place: its mean over the map, then a linear layer. Returns how many.

    In training the loss adds each head's loss times `loss.aux_weight`; `forward` does not run them, so that prediction
    and exports are those of the network without them. They are modules of the network, `auxiliary1` and so on, lowest
    first. A network that `create` made keeps the choice in its options, and takes it once.
    Raises RequestError for an unknown stage, a network that lists no stages, and one that has auxiliary heads already.
    Source: Szegedy et al. 2014, arXiv:1409.4842, section 5; Lee et al. 2015, arXiv:1409.5185.
    """
    if not isinstance(net, Net) or not net.stages or type(net).embed is not Net.embed:
        raise RequestError(
            "auxiliary heads are for classifiers that list their stages: a `Net` without an embed of its own"
        )
    check_once(net, "add_auxiliary_heads")
    if net.auxiliary_heads:
        raise RequestError(f"{net.name} has auxiliary heads already, on {', '.join(net.auxiliary_heads)}")
    chosen = [stages] if isinstance(stages, str) else list(stages)
    for stage in chosen:
        if stage not in net.stages:
            raise unknown(f"stage of {net.name}", str(stage), net.stages)
    if not chosen or len(set(chosen)) < len(chosen):
        raise RequestError(f"auxiliary heads are on one or more stages, each once, not {chosen}")
    channels, classes = _channels(net)
    heads = {stage: f"auxiliary{number}" for number, stage in enumerate(filter(chosen.__contains__, net.stages), 1)}
    for stage, name in heads.items():
        parts = OrderedDict(
            pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), full=nn.Linear(channels[stage], classes)
        )
        net.add_module(name, like(net, nn.Sequential(parts)).train(net.training))
    net.auxiliary_heads = heads
    record(net, {"add_auxiliary_heads": chosen})
    return len(heads)


def _channels(net: Net) -> tuple[dict[str, int], int]:
    """The channels of each stage's map, and the number of classes."""

    def watch(copied: nn.Module, images: Tensor) -> tuple[dict[str, int], int]:
        assert isinstance(copied, Net)
        with torch.no_grad():
            return {stage: maps.shape[1] for stage, maps in copied.maps(images).items()}, copied(images).shape[1]

    return passed_through(net, None, watch)
