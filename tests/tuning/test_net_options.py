"""The options of a network in a space, also the parameters of a net file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from striate import Recipe
from striate.errors import RequestError
from striate.nets.build import create
from striate.tuning.space import make_space

TEXT = (Path(__file__).parents[2] / "docs" / "net-files" / "resnet20.toml").read_text("utf-8")
NET_FILE = Recipe().updated({"net.name": "table_net", "net.options.text": TEXT})
VGG = Recipe().updated({"net.name": "vgg_tiny"})


def test_parameters_of_a_net_file_are_searched() -> None:
    space = make_space({"net.options.width": {"low": 8, "high": 24}, "net.options.blocks": [1, 3]}, NET_FILE, "scratch")
    width, blocks = (space.dimension(f"net.options.{name}") for name in ("width", "blocks"))
    assert (width.grid(3), blocks.grid(3)) == ((8, 16, 24), (1, 3))
    found = NET_FILE.updated(space.values({"net.options.width": 10, "net.options.blocks": 1}))
    net = create("table_net", options=found.net.options)
    assert (len(net.stages), net.feature_channels) == (4, 40)


def test_options_of_a_network_of_the_catalogue_are_searched() -> None:
    given = {"net.options": {"width": {"low": 0.25, "high": 1.0}, "batch_norm": [True, False]}}
    space = make_space(given | {"net.options.configuration": "auto"}, VGG, "scratch")
    assert space.dimension("net.options.configuration").grid(2) == ("A", "A_LRN", "B", "C", "D", "E")
    assert space.names == ("net.options.width", "net.options.batch_norm", "net.options.configuration")


@pytest.mark.parametrize(
    ("given", "recipe", "told"),
    [
        (
            {"net.options.widht": [8]},
            NET_FILE,
            "unknown option of table_net in the space: 'widht'; did you mean 'width'",
        ),
        ({"net.options.width": ["x"]}, NET_FILE, "net.options.width takes an integer, not 'x'"),
        ({"net.options.width": [8]}, Recipe(), "net.options.width is an option of a network: give the network"),
        ({"net.options.width": "auto"}, VGG, "net.options.width has no range of its own: give a list of values"),
        ({"net.options": [1]}, VGG, "net.options cannot be searched: it is a table: search one of its options"),
    ],
)
def test_what_cannot_be_searched_is_one_line(given: dict[str, object], recipe: Recipe, told: str) -> None:
    with pytest.raises(RequestError, match=re.escape(told)):
        make_space(given, recipe, "scratch")


def test_options_are_of_networks_from_scratch() -> None:
    with pytest.raises(RequestError, match=re.escape("not used by the strategy finetune: net.options.width")):
        make_space({"net.options.width": [0.5]}, VGG, "finetune")
