"""A network in bfloat16, for what needs many forward passes and few digits."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Multiply-adds of an image from which a copy is worth it: for checks, which rank and compare; and for maps, of which
# numbers are shown. Small networks, with depthwise convolutions, lose more digits, and have the time.
LEAST_FOR_CHECKS, LEAST_FOR_MAPS = 100_000_000, 1_000_000_000


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    known = torch.cpu.get_capabilities()
    return bool(known.get("amx_bf16") or known.get("avx512_bf16"))


def in_bfloat16(net: nn.Module) -> nn.Module:
    """A copy of a network that computes in bfloat16, all but its head; it takes images in float32, as the network.

    What is no float, such as the words that a captioner is given, stays as it is. Its outputs differ from those in
    float32 by about a hundredth of their spread.
    """
    made = copy.deepcopy(net).to(torch.bfloat16)
    made.register_forward_pre_hook(lambda module, inputs: tuple(_converted(x, torch.bfloat16) for x in inputs))
    head = getattr(made, "head", None)
    if isinstance(head, nn.Module):  # so that outputs keep their digits
        head.float().register_forward_pre_hook(lambda module, inputs: tuple(map(_in_float32, inputs)))
    return made


def _in_float32(value: Any) -> Any:
    """A tensor, or the tensors by name that a segmenter's head takes."""
    if isinstance(value, Mapping):
        return {name: x.float() for name, x in value.items()}
    return _converted(value, torch.float32)


def _converted(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
