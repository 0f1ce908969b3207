"""From a name to a network: `create`."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from striate.errors import RequestError, shown, unknown
from striate.nets.base import Net, Network, Variant
from striate.nets.catalog import USUAL_SIZE, Entry, OwnEntry, check_classifier, defaults_of, entry, known
from striate.nets.own import make_own
from striate.nets.swaps import SWAPS, swap, swaps_of

# Larger values are taken for mistakes: they would exhaust the memory.
LARGEST_CLASSES = 100_000
LARGEST_CHANNELS = 1024
LARGEST_SIZE = 16_384

_GIVEN_APART = ("classes", "in_channels", "input_size")


def create(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    input_size: Sequence[int] | None = None,
    options: Mapping[str, object] | None = None,
) -> Network:
    """Make the network `name`, of any kind, freshly initialised from torch's global generator.

    `name` is a network of the catalogue or a registered one (see `striate.register`). Arguments that are None are taken
    from the catalogue or the registration. `input_size` (height, width) is checked against what the network accepts.
    `options` are further keyword arguments of the constructor. `create(net.name, **net.options)` creates the same
    network again; both attributes can be written as JSON.
    Raises RequestError, before anything is allocated, for an unknown name or option (with suggestions) and for a value
    that is out of range or of the wrong type.
    """
    facts = known(name)
    chosen = _options(facts, options)
    own = defaults_of(facts, chosen)
    classes = _classes(facts, own.classes if classes is None else classes)
    in_channels = _whole("in_channels", own.in_channels if in_channels is None else in_channels, LARGEST_CHANNELS)
    size = _size(name, (own.input_size or USUAL_SIZE) if input_size is None else input_size, _minimum_size(facts))
    swaps = {name: chosen.pop(name) for name in SWAPS if name in chosen}
    given: dict[str, Any] = {"classes": classes, "in_channels": in_channels, "input_size": size, "options": chosen}
    net = make_own(facts, **given) if isinstance(facts, OwnEntry) else instantiate(variants(facts.file)[name], **given)
    net.name = facts.name
    net.options = {"classes": classes, "in_channels": in_channels, "input_size": list(size), "options": chosen}
    if swaps:
        swap(net, swaps)
    return net


def create_classifier(
    name: str,
    *,
    classes: int | None = None,
    in_channels: int | None = None,
    input_size: Sequence[int] | None = None,
    options: Mapping[str, object] | None = None,
) -> Net:
    """`create`, for what needs an image classifier. Raises RequestError for a network of another kind, too."""
    check_classifier(name)
    net = create(name, classes=classes, in_channels=in_channels, input_size=input_size, options=options)
    assert isinstance(net, Net)
    return net


def instantiate(
    variant: Variant,
    *,
    classes: int | None,
    in_channels: int,
    input_size: tuple[int, int],
    options: Mapping[str, object] | None = None,
) -> Network:
    """A named network of a paper, with `options` overriding its own; nothing is checked here."""
    chosen = {**variant.options, **(options or {})}
    if declared := variant.net.declared(chosen):
        chosen["parameters"] = {name: chosen.pop(name) for name in declared if name in chosen}
    after = {name: chosen.pop(name) for name in variant.then_options if name in chosen}
    constructor: Callable[..., Network] = variant.net
    given = {"classes": classes, "in_channels": in_channels, "input_size": input_size}
    taken = inspect.signature(constructor).parameters
    net = constructor(**{name: value for name, value in given.items() if name in taken}, **chosen)
    if variant.then is not None:
        variant.then(net, **after)
    return net


def check_options(name: str, options: Mapping[str, object]) -> None:
    """Raise RequestError for options that the network `name` does not have, or does not take, before creating it.

    Whether a network of the catalogue can be made with them, such as of a table, is tried on the meta device.
    """
    facts = known(name)
    if _options(facts, options) and isinstance(facts, Entry):
        with torch.device("meta"):
            create(name, options=options)


def option_types(name: str, options: Mapping[str, object]) -> dict[str, Any]:
    """The options that the network `name`, with these already, takes, with their types. Raises RequestError."""
    return _option_types(known(name), options)


def variants(file: str) -> Mapping[str, Variant]:
    """The named networks of the paper whose module in `striate.nets` is `file`."""
    found: Mapping[str, Variant] = importlib.import_module(f"striate.nets.{file}").VARIANTS
    return found


def variant_of(name: str) -> Variant:
    """The named network `name` of the catalogue. Raises RequestError for an unknown name."""
    return variants(entry(name).file)[name]


def net_class(name: str) -> type[Network]:
    """The class of the network `name` of the catalogue. Raises RequestError for an unknown name."""
    return variant_of(name).net


def _minimum_size(facts: Entry | OwnEntry) -> int:
    if isinstance(facts, OwnEntry):
        return int(getattr(facts.build, "minimum_size", 1))
    return net_class(facts.name).minimum_size


def _classes(facts: Entry | OwnEntry, classes: int | None) -> int | None:
    """The number of classes, None for a network without any."""
    if isinstance(facts, Entry) and facts.classes is None:
        if classes is not None:
            raise RequestError(f"{facts.name} has no classes: it is of the kind {facts.kind}")
        return None
    if classes is None:
        raise RequestError(f"{facts.name} has no default number of classes: give classes")
    return _whole("classes", classes, LARGEST_CLASSES)


def _whole(what: str, value: object, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise RequestError(f"{what} must be a whole number from 1 to {largest}, not {shown(value)}")
    return value


def _size(name: str, value: object, least: int) -> tuple[int, int]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise RequestError(f"input_size must be height and width, such as (224, 224), not {shown(value)}")
    height, width = (_whole("input_size", side, LARGEST_SIZE) for side in value)
    if min(height, width) < least:
        raise RequestError(f"{name} needs images of at least {least} x {least} pixels, not {height} x {width}")
    return height, width


def _options(facts: Entry | OwnEntry, options: Mapping[str, object] | None) -> dict[str, object]:
    if options is not None and not isinstance(options, Mapping):
        raise RequestError(f"options must be names with values, not {shown(options)}")
    hints = _option_types(facts, options or {})
    for option, value in (options or {}).items():
        if option in _GIVEN_APART:
            raise RequestError(f"{option} is an argument of create by itself, not one of the options")
        if option not in hints:
            raise unknown(f"option of {facts.name}:", option, hints)
        if not _fits(value, hints[option]):
            raise RequestError(
                f"option {option} of {facts.name} must be {_type_text(hints[option])}, not {shown(value)}"
            )
    return dict(options or {})


def _option_types(facts: Entry | OwnEntry, options: Mapping[str, object]) -> dict[str, Any]:
    """The options of a network with their types; of a registered one, Any where the argument has no annotation."""
    if isinstance(facts, OwnEntry):
        return {**SWAPS, **facts.option_types()}
    variant = variant_of(facts.name)
    hints = get_type_hints(variant.net.__init__)
    found = {name: hints[name] for name in inspect.signature(variant.net).parameters if name not in _GIVEN_APART}
    if declared := variant.net.declared({**variant.options, **options}):
        found = {name: hint for name, hint in found.items() if name != "parameters"} | dict(declared)
    if variant.then is not None:
        hints = get_type_hints(variant.then)
        found |= {name: hints[name] for name in variant.then_options}
    return found | swaps_of(variant.net)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of the constructor's annotation; a bool is not a number."""
    if hint is Any:
        return True
    if get_origin(hint) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, hint)


def _type_text(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is list:
        return 'a list of texts, such as ["stage2"]'
    texts = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return texts.get(hint, str(hint))
