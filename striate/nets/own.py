"""User-defined networks: registered by their constructor, then created, trained, saved and loaded like the others.

    class MyNet(nn.Module):
        def __init__(self, classes: int, in_channels: int = 3): ...
        def forward(self, x): ...                       # [N, in_channels, H, W] -> logits [N, classes]

    striate.register(MyNet)                             # or @striate.register above the class
    striate.train("photos/", net=MyNet)

A model file names the constructor by its import path, `package.module:MyNet`. Loading a file never imports
code: the file is opened if the constructor was registered before, and refused otherwise.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets.base import Net
from striate.nets.catalog import CHANNELS, CLASSES, OwnEntry, add_own, is_import_path, known
from striate.nets.shapes import forward_hooks, meta_copy
from striate.reading import given_path

Build = TypeVar("Build", bound=Callable[..., nn.Module])


def register(
    build: Build, *, name: str | None = None, in_channels: int | None = None, input_size: Sequence[int] | None = None
) -> Build:
    """Register your own network by its constructor, a class or a function of a module; returns the constructor.

    The constructor is called with keyword arguments: `classes` (or `num_classes`), the number of outputs, which is
    required; `in_channels` (or `in_chans`) and `input_size` (height, width), if it takes them; further options. It
    returns any `nn.Module` whose `forward` maps images [N, in_channels, H, W] into logits [N, classes].
    If a module ends in a linear layer, called once, the layer becomes `head` and its input `embed`, which allows new
    heads, embeddings and out-of-distribution detection; other modules give logits only. A subclass of `Net` is used as
    it is. `check_net` checks whether a network fulfils the contract.

    name: a short name, in addition to the import path. in_channels, input_size: the defaults; None: those of the
    constructor's arguments, else 3 channels and a size that is chosen from the data.
    Raises RequestError for a constructor that cannot be named or called this way, and for a name that is taken.
    """
    path = import_path(build)
    own = OwnEntry(path, build, None, 3, None)
    classes, channels = own.argument(*CLASSES), own.argument(*CHANNELS)
    if classes is None:
        raise RequestError(f"{path} cannot be registered: its constructor must take classes (or num_classes)")
    defaults = {key: parameter.default for key, parameter in inspect.signature(build).parameters.items()}
    own_channels = in_channels or (defaults[channels] if channels else None)
    size = input_size or defaults.get("input_size")
    add_own(
        OwnEntry(
            path,
            build,
            defaults[classes] if isinstance(defaults[classes], int) else None,
            own_channels if isinstance(own_channels, int) else 3,
            (int(size[0]), int(size[1])) if isinstance(size, Sequence) and len(size) == 2 else None,
        ),
        name,
    )
    return build


def import_path(build: Callable[..., Any]) -> str:
    """The import path of a constructor, `package.module:Attribute`; that of a script is named after its file.

    Raises RequestError for what has none: an instance, a lambda, or a local class or function.
    """
    module, attribute = getattr(build, "__module__", None), getattr(build, "__qualname__", None)
    if isinstance(build, nn.Module) or not callable(build) or not module or not attribute:
        raise RequestError(f"a net is registered by its class or a function that makes it, not by {_described(build)}")
    if "<" in attribute:
        raise RequestError(
            f"{attribute} has no import path, so a model file could not name it: define it at the top level of a module"
        )
    if module == "__main__":
        script = sys.modules["__main__"]
        spec, file = getattr(script, "__spec__", None), getattr(script, "__file__", None)
        module = spec.name if spec else Path(file).stem if file else module
    return f"{module}:{attribute}"


def _described(build: object) -> str:
    return f"an instance of {type(build).__name__}" if isinstance(build, nn.Module) else repr(build)


def net_name(net: str | Callable[..., nn.Module]) -> str:
    """The name by which `create` finds a network; a constructor is registered if necessary."""
    if isinstance(net, str):
        return net
    path = import_path(net)
    try:
        known(path)
    except RequestError:
        register(net)
    return path


def import_net(named: str) -> str:
    """Import and register `my_module.py:MyNet` or `package.module:MyNet`; returns the import path.

    Only for a name that the user typed: importing runs the module's code.
    Raises RequestError for a file, module or attribute that does not exist.
    """
    where, _, attribute = named.rpartition(":")
    module = _file_module(Path(where)) if where.endswith(".py") else _module(where)
    build: Any = module
    for part in attribute.split("."):
        build = getattr(build, part, None)
    if build is None:
        raise RequestError(f"{where!r} has no {attribute!r}")
    return net_name(build)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RequestError(f"cannot import {name!r}: {error}") from error


def _file_module(path: Path) -> ModuleType:
    if not given_path(path, "the file").is_file():
        raise RequestError(f"there is no file {str(path)!r}")
    imported = sys.modules.get(path.stem)
    if imported is not None:
        if Path(getattr(imported, "__file__", None) or "").resolve() == path.resolve():
            return imported
        raise RequestError(f"{str(path)!r} has the name of another module, {path.stem!r}: rename the file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


class OwnNet(Net):
    """A user's module as a `Net`: `body`, and `head`, its last linear layer if it ends in one.

    The layer is replaced by an identity in the module, so that `body` gives the embedding; the names of the state are
    `head.*` and `body.*`. If a module does not end in a linear layer, `body` is the whole module and `head` the
    identity. There are no stages, because the feature maps are unknown. `unwrapped` returns the original module.
    """

    table = ""
    minimum_size = 1
    stages = ()

    def __init__(self, module: nn.Module, in_channels: int, input_size: Sequence[int]) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.body = module
        self.head_name = last_linear(module, (in_channels, *input_size))
        self.head = module.get_submodule(self.head_name) if self.head_name else nn.Identity()
        if isinstance(self.head, nn.Linear):
            self.embedding_size = self.head.in_features
            _replace(module, self.head_name, nn.Identity())

    def embed(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> vectors [N, embedding_size]; the logits where there is no linear head."""
        self.check(x)
        vector: Tensor = self.body(x)
        return vector

    def features(self, x: Tensor) -> Tensor:
        """Raises RequestError: a user's module has no stages, unless it is a subclass of `Net` that lists them."""
        raise RequestError(f"{self.name} lists no stages, so it offers no feature maps; make it a subclass of Net")

    def unwrapped(self) -> nn.Module:
        """The original module, with the head in its place; do not use this wrapper afterwards."""
        if self.head_name:
            _replace(self.body, self.head_name, self.head)
        return self.body


def make_own(
    own: OwnEntry, *, classes: int, in_channels: int, input_size: Sequence[int], options: Mapping[str, object]
) -> Net:
    """A registered network. Raises RequestError for channels that its constructor does not take."""
    size = (int(input_size[0]), int(input_size[1]))
    given: dict[str, Any] = {own.argument(*CLASSES) or "classes": classes, **options}
    if channels := own.argument(*CHANNELS):
        given[channels] = in_channels
    elif in_channels != own.in_channels:
        raise RequestError(
            f"{own.name} takes {own.in_channels} channels, not {in_channels}: let its constructor take in_channels"
        )
    if own.argument("input_size"):
        given["input_size"] = size
    module = own.build(**given)
    if not isinstance(module, nn.Module):
        raise RequestError(f"{own.name} must make a torch.nn.Module, not {type(module).__name__}")
    return module if isinstance(module, Net) else OwnNet(module, in_channels, size)


def last_linear(module: nn.Module, shape: Sequence[int]) -> str:
    """The name of the linear layer whose output is the module's output, for images of `shape`; "" where there is none.

    Found by a pass on the meta device. The layer must be called once, and the module must run without it.
    """
    found: list[tuple[str, Tensor]] = []
    copied = meta_copy(module).eval()
    number = next((parameter.dtype for parameter in copied.parameters()), torch.float32)
    images = torch.empty(2, *shape, dtype=number, device="meta")
    try:
        with forward_hooks() as (_, after), torch.no_grad():
            for name, part in copied.named_modules():
                if name and isinstance(part, nn.Linear):
                    after(part, lambda module, inputs, output, name=name: found.append((name, output)))  # type: ignore[misc]
            logits = copied(images)
        names = [name for name, output in found if output is logits]
        if len(names) != 1 or [name for name, _ in found].count(names[0]) != 1:
            return ""
        _replace(copied, names[0], nn.Identity())
        with torch.no_grad():
            below = copied(images)
        return names[0] if below.ndim == 2 and len(below) == len(images) else ""
    except Exception:  # the module's code need not run on the meta device: then it has logits only
        return ""


def _replace(module: nn.Module, name: str, part: nn.Module) -> None:
    above, _, place = name.rpartition(".")
    setattr(module.get_submodule(above), place, part)


__all__ = ["OwnNet", "import_net", "import_path", "is_import_path", "net_name", "register"]
