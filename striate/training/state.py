"""The state of a run as tensors and JSON, as a checkpoint holds it, and back. A restored run continues bit for bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from striate.errors import RequestError
from striate.training.loop_state import EpochReport, LoopState, Sums

State = dict[str, Tensor]

_FORMAT = 1  # of a checkpoint's content


def serialised(loop: LoopState, about: Mapping[str, Any]) -> bytes:
    """The run as bytes; `about` is stored with it, as metadata."""
    tensors = {name: tensor.detach() for name, tensor in _tensors(loop)}
    facts = {
        "format": _FORMAT,
        "about": dict(about),
        "epoch": loop.epoch,
        "batch": loop.batch,
        "accumulate": loop.accumulate,
        "over": loop.over,
        "sums": dataclasses.asdict(loop.sums),
        "reports": [dataclasses.asdict(report) for report in loop.reports],
        "hooks": {hook.name: hook.facts() for hook in loop.hooks if hook.name},
        # A tensor's memory format decides which kernels run, and so the last bits of their outputs.
        "strides": {name: list(tensor.stride()) for name, tensor in tensors.items()},
        "numbers": _numbers(loop),
        "rates": [group["lr"] for group in loop.optimizer.param_groups],  # reported by a finished epoch
    }
    # Copies, because safetensors refuses tensors that share memory, as a buffer may with another.
    content = {
        name: tensor.to("cpu", copy=True, memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    written: bytes = safetensors.torch.save(content, {"run": json.dumps(facts)})
    return written


def read_metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a saved run."""
    found: dict[str, Any] = _facts(content)["about"]
    return found


def restore_state(loop: LoopState, content: bytes) -> None:
    """Restore the saved state into `loop`, just made with the same arguments; its network is then in eval mode.

    Raises RequestError for another network.
    """
    facts, tensors = _facts(content), safetensors.torch.load(content)
    _require_fit(loop, tensors)
    strides: dict[str, list[int]] = facts["strides"]
    laid = {
        name: torch.empty_strided(tensor.shape, strides[name], dtype=tensor.dtype).copy_(tensor)
        for name, tensor in tensors.items()
    }
    with torch.no_grad():
        for name, tensor in _of_net(loop):
            tensor.copy_(laid[name])
    loop.net.eval()  # as between epochs: the loop sets training mode if there are steps left
    _put_optimizer(loop, laid, facts["numbers"])
    for group, rate in zip(loop.optimizer.param_groups, facts["rates"], strict=True):
        group["lr"] = rate
    for hook in loop.hooks:
        if hook.name:
            prefix = f"hook.{hook.name}."
            mine = {name.removeprefix(prefix): tensor for name, tensor in laid.items() if name.startswith(prefix)}
            hook.restore({name: tensor.to(loop.device) for name, tensor in mine.items()}, facts["hooks"][hook.name])
    loop.epoch, loop.batch, loop.accumulate, loop.over = (
        facts[name] for name in ("epoch", "batch", "accumulate", "over")
    )
    loop.sums = Sums(**facts["sums"])
    loop.reports[:] = [EpochReport(**report) for report in facts["reports"]]


def _facts(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["run"])
    if found.get("format") != _FORMAT:
        raise RequestError(
            f"the checkpoint has format {found.get('format')}, and this Striate reads {_FORMAT}; "
            "resume with the version of Striate that started the run, or start a new run"
        )
    return found


def _require_fit(loop: LoopState, tensors: State) -> None:
    expected = {name: list(tensor.shape) for name, tensor in _of_net(loop)}
    found = {name: list(tensor.shape) for name, tensor in tensors.items() if name.startswith("net.")}
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            was, now = found.get(name, "missing"), expected.get(name, "missing")
            raise RequestError(
                f"the checkpoint is of another network: {name.removeprefix('net.')!r} was {was} and is {now}"
            )


def _tensors(loop: LoopState) -> Iterator[tuple[str, Tensor]]:
    yield from _of_net(loop)
    for place, values in _optimizer_states(loop):
        for key, value in values.items():
            if isinstance(value, Tensor):
                yield f"optimizer.{place}.{key}", value
    for hook in loop.hooks:
        for name, tensor in hook.tensors().items():
            yield f"hook.{hook.name}.{name}", tensor


def _of_net(loop: LoopState) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*loop.net.named_parameters(), *loop.net.named_buffers()):
        yield f"net.{name}", tensor


def _optimizer_states(loop: LoopState) -> Iterator[tuple[int, dict[str, Any]]]:
    """The optimizer's state of each parameter, by the parameter's place in its groups; {} where it has none yet."""
    parameters = [parameter for group in loop.optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(parameters):
        yield place, loop.optimizer.state.get(parameter, {})


def _numbers(loop: LoopState) -> dict[str, dict[str, Any]]:
    """The optimizer's state without its tensors."""
    return {
        str(place): {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        for place, values in _optimizer_states(loop)
    }


def _put_optimizer(loop: LoopState, laid: State, numbers: dict[str, dict[str, Any]]) -> None:
    loop.optimizer.state.clear()
    found: dict[int, dict[str, Any]] = {int(place): dict(values) for place, values in numbers.items() if values}
    for name, tensor in laid.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".", 2)
            # Adam counts its steps in a tensor on the CPU, whatever the parameter's device.
            found.setdefault(int(number), {})[key] = tensor if key == "step" else tensor.to(loop.device)
    parameters = [parameter for group in loop.optimizer.param_groups for parameter in group["params"]]
    for place, values in found.items():
        loop.optimizer.state[parameters[place]] = values
