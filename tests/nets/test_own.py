"""Networks of the user's own: how they are registered, named, made and refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.anatomy.summary import catalogue_madds
from striate.errors import RequestError
from striate.nets import catalog
from striate.nets.base import Net
from striate.nets.build import check_options, create
from striate.nets.catalog import check_registered, known
from striate.nets.own import OwnNet, import_net, net_name


class Plain(nn.Module):
    def __init__(self, num_classes: int, in_chans: int = 1, width: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chans, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
        return logits


class Convolutional(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, classes, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


class Tied(nn.Module):
    """Its last layer is also used elsewhere, so it cannot be taken out."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(x.mean((2, 3)) + self.fc.weight.sum())
        return logits


class Staged(Net):
    table = ""
    minimum_size = 4

    def __init__(self, *, classes: int, in_channels: int = 3, input_size: tuple[int, int] = (20, 24)) -> None:
        super().__init__()
        self.in_channels, self.stages = in_channels, ("first", "second")
        self.first, self.second = nn.Conv2d(in_channels, 4, 3), nn.Conv2d(4, 6, 1)
        self.feature_channels = self.embedding_size = 6
        self.head = nn.Linear(6, classes)


def make_plain(classes: int, wide: bool = False) -> nn.Module:
    return Plain(classes, 3, 16 if wide else 8)


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog, "_own", {})
    monkeypatch.setattr(catalog, "_short_names", {})
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


PATH = f"{__name__}:Plain"


def test_a_registered_net_is_made_by_its_import_path_and_its_short_name() -> None:
    assert striate.register(Plain, name="plain") is Plain
    net = create("plain", classes=5, input_size=(16, 16), options={"width": 4})
    assert net.name == PATH
    assert net.options == {"classes": 5, "in_channels": 1, "input_size": [16, 16], "options": {"width": 4}}
    again = create(net.name, **net.options)  # type: ignore[arg-type]
    again.load_state_dict(net.state_dict())
    x = torch.rand(2, 1, 16, 16)
    assert torch.equal(net.eval()(x), again.eval()(x))


def test_a_module_that_ends_in_a_linear_layer_has_a_head_and_an_embedding() -> None:
    striate.register(Plain)
    net = create(PATH, classes=3)
    x = torch.rand(2, 1, 9, 9)
    assert isinstance(net, OwnNet)
    assert isinstance(net.head, nn.Linear)
    assert net.embed(x).shape == (2, net.embedding_size) == (2, 8)
    assert torch.equal(net(x), net.head(net.embed(x)))
    assert {name.partition(".")[0] for name in net.state_dict()} == {"body", "head"}
    expected = net(x)
    module = net.unwrapped()
    assert type(module) is Plain
    assert torch.equal(module(x), expected)


@pytest.mark.parametrize("build", [Convolutional, Tied])
def test_others_give_logits_only(build: type[nn.Module]) -> None:
    net = create(net_name(build), classes=4)
    x = torch.rand(2, 3, 9, 9)
    assert isinstance(net.head, nn.Identity)
    assert net(x).shape == (2, 4)
    with pytest.raises(RequestError, match="lists no stages"):
        net.features(x)


def test_a_subclass_of_net_is_used_as_it_is() -> None:
    net = create(net_name(Staged), classes=4)
    assert type(net) is Staged
    assert net.options["input_size"] == [20, 24]
    assert list(net.maps(torch.rand(1, 3, 8, 8))) == ["first", "second"]
    with pytest.raises(RequestError, match="needs images of at least 4 x 4 pixels"):
        create(net_name(Staged), classes=4, input_size=(3, 8))
    assert striate.check_net(Staged, input_size=(16, 16)) == []


def test_a_function_is_a_constructor_too() -> None:
    net = create(net_name(make_plain), classes=2, options={"wide": True})
    assert net.embedding_size == 16
    assert known(net.name).name == f"{__name__}:make_plain"


def test_multiply_adds_of_an_own_net_are_counted() -> None:
    striate.register(Plain, name="plain", in_channels=1, input_size=(10, 10))
    assert catalogue_madds("plain") == 8 * 9 * 64 + 8 * 10
    assert catalogue_madds("resnet20") == 40_551_040


def test_options_are_checked_by_their_annotations() -> None:
    striate.register(Plain)
    check_options(PATH, {"width": 4})
    with pytest.raises(RequestError, match=r"unknown option of .*Plain: 'widht'; did you mean 'width'"):
        check_options(PATH, {"widht": 4})
    with pytest.raises(RequestError, match="must be a whole number, not 'four'"):
        check_options(PATH, {"width": "four"})


def test_what_cannot_be_named_or_called_is_refused() -> None:
    class Local(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()

    with pytest.raises(RequestError, match="define it at the top level of a module"):
        striate.register(Local)
    with pytest.raises(RequestError, match="not by an instance of Plain"):
        striate.register(Plain(3))
    with pytest.raises(RequestError, match="a net is registered by its class or a function"):
        striate.register(partial(Plain, width=3))
    with pytest.raises(RequestError, match=r"Identity cannot be registered: its constructor must take classes"):
        striate.register(nn.Identity)
    with pytest.raises(RequestError, match="the name 'resnet20' is another net's"):
        striate.register(Plain, name="resnet20")
    with pytest.raises(RequestError, match="without a colon"):
        striate.register(Plain, name="my:net")


def test_wrong_requests_of_a_registered_net_are_refused() -> None:
    striate.register(Convolutional)
    with pytest.raises(RequestError, match="takes 3 channels, not 1: let its constructor take in_channels"):
        create(f"{__name__}:Convolutional", classes=3, in_channels=1)
    with pytest.raises(RequestError, match="has no default number of classes: give classes"):
        create(f"{__name__}:Convolutional")
    net = create(f"{__name__}:Convolutional", classes=3)
    with pytest.raises(RequestError, match=r"takes images \[N, 3, H, W\], not \[1, 1, 9, 9\]"):
        net(torch.rand(1, 1, 9, 9))


def test_an_unregistered_net_is_refused_in_words_and_not_imported(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError,
        match=r"the net 'x\.y:Z' is not registered here: import it and call striate\.register\(Z\) first",
    ):
        create("x.y:Z", classes=2)
    with pytest.raises(RequestError, match=r"the model file names the net 'x\.y:Z', which is not registered here"):
        check_registered("x.y:Z")
    check_registered("resnet20")
    assert "x" not in sys.modules


MODULE = """
from torch import nn
import striate

class Tiny(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))

@striate.register
class Registered(Tiny):
    pass
"""


def test_a_net_is_imported_from_a_file_or_a_module_that_the_user_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_file.py").write_text(MODULE, "utf-8")
    assert import_net(f"{tmp_path / 'own_file.py'}:Tiny") == "own_file:Tiny"
    assert import_net(f"{tmp_path / 'own_file.py'}:Registered") == "own_file:Registered"
    assert create("own_file:Tiny", classes=2)(torch.rand(1, 3, 4, 4)).shape == (1, 2)
    (tmp_path / "own_module.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert import_net("own_module:Tiny") == "own_module:Tiny"


def test_what_is_not_there_to_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own_file.py").write_text(MODULE, "utf-8")
    (tmp_path / "json.py").write_text(MODULE, "utf-8")
    for named, words in (
        (f"{tmp_path / 'no.py'}:Tiny", "there is no file"),
        (f"{tmp_path / 'own_file.py'}:Tinny", "has no 'Tinny'"),
        ("no_such_package.nets:Tiny", "cannot import 'no_such_package.nets'"),
        (f"{tmp_path / 'json.py'}:Tiny", "has the name of another module, 'json': rename the file"),
    ):
        with pytest.raises(RequestError, match=words):
            import_net(named)
