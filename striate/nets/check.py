"""The contract of a network as a function: what a module must do to be trained, saved, exported and compared."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence

import torch
from torch import nn

from striate.errors import RequestError
from striate.nets.base import Network
from striate.nets.build import create
from striate.nets.catalog import CHANNELS, CLASSES, Entry, OwnEntry, known
from striate.nets.check_classifier import CHECKS
from striate.nets.check_kinds import CHECKS_OF, SUBJECTS
from striate.nets.check_subject import Failure, Subject
from striate.nets.own import make_own

__all__ = ["CHECKS", "Failure", "check_net"]


def check_net(
    net: str | nn.Module | Callable[..., nn.Module],
    *,
    classes: int = 10,
    in_channels: int | None = None,
    input_size: Sequence[int] | None = None,
) -> list[Failure]:
    """Check the contract on any network: what fails and what to do. An empty list: everything passes.

    net: a name, the constructor of a network of your own (as `striate.register` takes it), or a module; a module alone
    cannot be created again, so it is not checked with other seeds, classes and channels, and must have `classes`
    outputs. in_channels, input_size (height, width): of the test images; by default the network's, else 3 and 64 x 64.
    Checked, on random images: logits [N, classes]; a finite gradient, not all zero, for every parameter, in one of
    several passes; the state loads into another network and gives the same logits; a seed determines everything; in
    evaluation mode the logits of an image do not depend on the batch and nothing changes; other numbers of classes and
    channels; images that are too small give an error or correct logits; channels_last and bfloat16; tracing and export
    with any batch size. For a `Net`, also that `maps`, `features`, `embed` and `head` agree, and which sizes it takes.
    A network of another kind (see `striate.nets.kinds`) is checked for the contract of its kind.
    torch's random state is restored.
    Raises RequestError for a name that is unknown or a constructor that cannot be called this way.
    """
    with torch.random.fork_rng(devices=[]):
        subject = _subject(net, classes, in_channels, input_size)
        checks = CHECKS_OF[_kind(subject.net)]
        failures: list[Failure] = []
        for name, check in checks.items():
            try:
                failures += [Failure(name, found, advice) for found, advice in check(subject)]
            except Exception as error:  # of the network's own code
                lines = str(error).strip().splitlines()
                message = f": {lines[0]}" if lines else ""
                failures.append(Failure(name, f"{type(error).__name__}{message}", _ADVICE))
            if failures and name == next(iter(checks)):
                break  # the other checks need outputs
    return failures


_ADVICE = "this must run without an error"


def _subject(
    net: str | nn.Module | Callable[..., nn.Module],
    classes: int,
    in_channels: int | None,
    input_size: Sequence[int] | None,
) -> Subject:
    if isinstance(net, nn.Module):
        channels = in_channels or int(getattr(net, "in_channels", 3))
        size = _pair(input_size) or getattr(net, "input_size", None) or (64, 64)
        return SUBJECTS[_kind(net)](copy.deepcopy(net), classes, channels, size, None, False)
    facts = known(net) if isinstance(net, str) else _entry_of(net)
    size = _pair(input_size) or facts.input_size or (64, 64)
    channels = in_channels or facts.in_channels

    def make(classes: int, in_channels: int, size: tuple[int, int]) -> nn.Module:
        if isinstance(net, str):
            own = None if isinstance(facts, Entry) and facts.classes is None else classes
            return create(net, classes=own, in_channels=in_channels, input_size=size)
        assert isinstance(facts, OwnEntry)
        made = make_own(facts, classes=classes, in_channels=in_channels, input_size=size, options={})
        made.name = facts.name
        return made

    torch.manual_seed(0)
    any_channels = not isinstance(facts, OwnEntry) or facts.argument(*CHANNELS) is not None
    made = make(classes, channels, size)
    return SUBJECTS[_kind(made)](made, classes, channels, size, make, any_channels)


def _kind(net: nn.Module) -> str:
    return net.kind if isinstance(net, Network) else "classifier"


def _pair(size: Sequence[int] | None) -> tuple[int, int] | None:
    return None if size is None else (int(size[0]), int(size[1]))


def _entry_of(build: Callable[..., nn.Module]) -> OwnEntry:
    name = getattr(build, "__name__", repr(build))
    entry = OwnEntry(name, build, None, 3, None)
    if entry.argument(*CLASSES) is None:
        raise RequestError(f"{name}: its constructor must take classes (or num_classes), the number of outputs")
    channels = entry.argument(*CHANNELS)
    default = inspect.signature(build).parameters[channels].default if channels else 3
    return OwnEntry(name, build, None, default if isinstance(default, int) else 3, None)
