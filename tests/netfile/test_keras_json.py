"""Keras's JSON as a net file, and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.netfile import Plan, parse, plan
from striate.netfile.keras import net_file
from striate.netfile.to_keras import keras_json

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "net-files").glob("*.toml"))
# The shortcut that pads channels and local response normalisation are no layers of Keras.
LACKING = {"resnet20": "'pad'", "googlenet": "'caffelrn'"}


def planned(text: str) -> Plan:
    read = parse(text)
    return plan(read, classes=read.classes, shape=read.input, parameters={})


def layer(kind: str, name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    """A layer as Keras 2 writes it."""
    nodes = [[[one, 0, 0, {}] for one in inputs]] if inputs else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def model(*changed: dict[str, Any]) -> dict[str, Any]:
    layers = [
        layer("InputLayer", "in", batch_input_shape=[None, 32, 32, 3]),
        layer("Rescaling", "scale", "in", scale=1 / 255),
        layer("ZeroPadding2D", "pad", "scale", padding=[[1, 1], [1, 1]]),
        layer("Conv2D", "c1", "pad", filters=8, kernel_size=[3, 3], strides=[2, 2], padding="valid", use_bias=False),
        layer("BatchNormalization", "b1", "c1", epsilon=1e-3),
        layer("Activation", "a1", "b1", activation="relu"),
        layer("SeparableConv2D", "s2", "a1", filters=8, kernel_size=[3, 3], padding="same", activation="relu"),
        layer("Add", "sum", "a1", "s2"),
        layer("Concatenate", "both", "sum", "s2", axis=-1),
        layer("MaxPooling2D", "pool", "both", pool_size=[2, 2], padding="same"),
        layer("Flatten", "flat", "pool"),
        layer("Dropout", "drop", "flat", rate=0.4),
        layer("Dense", "fc", "drop", units=5, activation="softmax"),
    ]
    named = {one["name"]: one for one in changed}
    layers = [named.get(one["name"], one) for one in layers]
    return {"class_name": "Functional",
            "config": {"name": "small-net", "layers": layers, "output_layers": [["fc", 0, 0]]}}  # fmt: skip


def test_a_functional_model_is_a_net_file() -> None:
    text = net_file(json.dumps(model()))
    assert text.splitlines() == [
        'name = "small_net"',
        "input = [3, 32, 32]",
        "classes = 5",
        'table = """',
        "conv3-8/2 nobias bn relu as edge1",
        "dwconv3 nobias",
        "conv1-8 relu as edge2",
        "add edge1 as edge3",
        "concat edge3 edge2",
        "maxpool2/2 dropout-0.4",
        "fc-classes",
        '"""',
    ]
    assert [row.shape for row in planned(text).rows][-2:] == [(16, 8, 8), (5,)]


def test_a_sequential_model_of_odd_maps_rounds_up() -> None:
    layers = [
        layer("Conv2D", "c", batch_input_shape=[None, 9, 9, 1], filters=4, kernel_size=3, activation="tanh"),
        layer("AveragePooling2D", "p", pool_size=2, padding="same"),
        layer("GlobalMaxPooling2D", "g"),
        layer("Dense", "d", units=3),
    ]
    text = net_file(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    assert "conv3-4 p0 tanh\navgpool2/2\nglobalmaxpool\nfc-classes\n" not in text
    assert "avgpool2/2 ceil" in text and planned(text).rows[-1].shape == (3,)


def test_a_flattened_map_is_normalised_number_by_number() -> None:
    text = net_file(json.dumps(model(layer("BatchNormalization", "drop", "flat", axis=[1]))))
    assert text.splitlines()[-3:] == ["maxpool2/2 flatten bn", "fc-classes", '"""']
    back = net_file(keras_json(parse(text)))
    assert "maxpool2/2 flatten bn\n" in back and planned(back).rows[-1].shape == (5,)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_there_and_back_again(path: Path) -> None:
    read = parse(path.read_text("utf-8"))
    if path.stem in LACKING:
        with pytest.raises(RequestError, match=LACKING[path.stem]):
            keras_json(read)
        return
    first = keras_json(read)
    back = net_file(first)
    assert keras_json(parse(back)) == first.replace(f'"{read.name}"', f'"{parse(back).name}"')
    there, before = planned(back), planned(path.read_text("utf-8"))
    assert (there.input, there.rows[-1].shape) == (before.input, before.rows[-1].shape)


WRONG: list[tuple[dict[str, Any], str]] = [
    (layer("Lambda", "a1", "b1"), "layer 'a1' of the model: unknown layer of Keras 'Lambda'"),
    (layer("Conv2D", "c1", "pad", filters=8, kernel_size=3, strides=[2, 1]), "are the same in a net file"),
    (
        layer("Conv2D", "c1", "scale", filters=8, kernel_size=3, strides=2, padding="same"),
        "more below and to the right",
    ),
    (layer("ZeroPadding2D", "pad", "scale", padding=[[0, 1], [0, 1]]), "pads both sides of a map by as much"),
    (layer("MaxPooling2D", "c1", "pad"), "for convolutions alone"),
    (layer("Dense", "flat", "pool", units=4), "add a Flatten"),
    (layer("Activation", "a1", "b1", activation="softmax"), "takes a softmax"),
    (layer("Add", "sum", "a1", "later"), "not there before it"),
    (layer("BatchNormalization", "b1", "c1", scale=False), "scale and center are both true"),
    (layer("BatchNormalization", "b1", "c1", axis=[1]), "the last axis, are normalised, not axis [1]"),
    (layer("ELU", "a1", "b1", alpha=0.5), "of ELU, alpha 1 has a word"),
    (layer("Activation", "a1", "b1", activation={"class_name": "mine"}), "functions of one's own are not read"),
    (layer("Conv2D", "c1", "scale", filters=8, kernel_size=3, padding="full"), "padding is valid or same, not 'full'"),
    (layer("Dropout", "drop", "flat", rate=10**400), "rate is a number, not 1000"),
    (layer("GroupNormalization", "drop", "flat", groups=4), "gn needs a map, and here are 1024 numbers"),
    (layer("InputLayer", "in", batch_input_shape=[None, None, None, 3]), "give it, as channels, height, width"),
]


@pytest.mark.parametrize(("changed", "told"), WRONG, ids=range(len(WRONG)))
def test_what_a_net_file_cannot_say_is_told_with_its_layer(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=re.escape(told)):
        net_file(json.dumps(model(changed)))


VALUES = (
    st.none() | st.integers(-2, 2**40) | st.floats() | st.text(max_size=3) | st.lists(st.integers(-1, 3), max_size=3)
)
FIELDS = ["class_name", "inbound_nodes", "config", "filters", "kernel_size", "strides", "padding", "units", "rate",
          "activation", "batch_input_shape", "axis", "pool_size", "dilation_rate", "groups"]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 12), st.sampled_from(FIELDS), VALUES)
def test_changed_values_are_a_net_file_or_refused(place: int, field: str, value: Any) -> None:
    changed = json.loads(json.dumps(model()))
    one = changed["config"]["layers"][place]
    (one if field in ("class_name", "inbound_nodes", "config") else one["config"])[field] = value
    try:
        planned(net_file(json.dumps(changed)))
    except RequestError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("text", ["", "{" * 50_000, "[" * 50_000, "[]", '{"class_name": "Functional", "config": []}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        net_file(text)


def test_the_verb_converts_between_all_three(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "net.json").write_text(json.dumps(model()))
    for source, target in (("net.json", "net.toml"), ("net.toml", "again.json"), ("net.json", "net.prototxt")):
        code, out, _ = cli("convert", tmp_path / source, "--out", tmp_path / target)
        assert code == 0 and "small_net: 7 rows, images of 3x32x32, 5 classes" in out
    assert net_file((tmp_path / "again.json").read_text()) == (tmp_path / "net.toml").read_text()
    code, out, _ = cli("show", tmp_path / "net.json")
    assert code == 0 and "small_net" in out
    (tmp_path / "bad.json").write_text("[]")
    code, _, err = cli("convert", tmp_path / "bad.json", "--out", tmp_path / "bad.toml")
    assert code == 2 and "bad.json': it is no model of Keras" in err
