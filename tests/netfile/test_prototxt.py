"""Caffe's prototxt as a net file, and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.netfile import Plan, parse, plan
from striate.netfile.caffe import net_file
from striate.netfile.to_caffe import prototxt

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "net-files").glob("*.toml"))
NET = """
name: "small-net"  # a comment
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { crop_size: 32 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "aux" type: "InnerProduct" bottom: "conv1" top: "aux" inner_product_param { num_output: 5 } }
layer { name: "aux_loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux_loss" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
        convolution_param { num_output: 8 kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 group: 2 } }
layer { name: "sum" type: "Eltwise" bottom: "conv1" bottom: "conv2" top: "sum" }
layer { name: "both" type: "Concat" bottom: "sum" bottom: "conv2" top: "both" }
layer { name: "pool" type: "Pooling" bottom: "both" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.4 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
"""


def planned(text: str) -> Plan:
    read = parse(text)
    return plan(read, classes=read.classes, shape=read.input, parameters={})


def test_a_network_of_training_is_a_net_file() -> None:
    text = net_file(NET)
    assert text.splitlines() == [
        'name = "small_net"',
        "input = [3, 32, 32]",
        "classes = 5",
        'table = """',
        "conv3-8/2 nobias bn relu as edge1",
        "conv3x1-8 groups=2 as edge2",
        "add edge1 as edge3",
        "concat edge3 edge2",
        "avgpool3/2 ceil dropout-0.4",
        "fc-classes",
        '"""',
    ]
    assert [row.shape for row in planned(text).rows][-2:] == [(16, 8, 8), (5,)]


def test_the_first_format_and_the_lenet_of_caffes_examples(test_data: Path) -> None:
    folder = test_data / "interop" / "caffe"
    if not folder.is_dir():
        pytest.skip(f"no network of Caffe: {test_data} has no folder interop/caffe")
    text = net_file((folder / "lenet.prototxt").read_text("utf-8"))
    assert "conv5-20 p0\nmaxpool2/2 ceil\nconv5-50 p0\nmaxpool2/2 ceil\nfc-500 relu\nfc-classes\n" in text
    old = NET.replace("layer {", "layers {")
    for new, older in (("Convolution", "CONVOLUTION"), ("ReLU", "RELU"), ("InnerProduct", "INNER_PRODUCT")):
        old = old.replace(f'"{new}"', older)
    assert net_file(old) == net_file(NET)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem != "resnet20"], ids=lambda path: path.stem)
def test_there_and_back_again(path: Path) -> None:
    first = prototxt(parse(path.read_text("utf-8")))
    back = net_file(first)
    assert prototxt(parse(back)) == first and net_file(prototxt(parse(back))) == back
    there, before = planned(back), planned(path.read_text("utf-8"))
    assert (there.input, there.rows[-1].shape) == (before.input, before.rows[-1].shape)


def test_what_caffe_lacks_is_named() -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "resnet20")
    with pytest.raises(RequestError, match="Caffe has no layer for the word 'pad' of this net file"):
        prototxt(parse(path.read_text("utf-8")))
    text = 'input = [3, 8, 8]\ntable = "conv3-4\\nmaxpool3/2\\nglobalavgpool\\nfc-classes"'
    assert "stride: 2 round_mode: FLOOR" in prototxt(parse(text))  # Caffe would round 3.5 windows up


WRONG = {
    'type: "ReLU"': ('type: "PReLU"', "layer 'relu1' of the prototxt is of the type 'PReLU', for which"),
    "pool: AVE": ("pool: STOCHASTIC", "layer 'pool' of the prototxt: the pooling STOCHASTIC has no word"),
    "stride: 2 bias": ("stride_h: 2 stride_w: 1 bias", "layer 'conv1' of the prototxt: a stride of 2 x 1 has no word"),
    "num_output: 8 kernel_size": ("kernel_size", "num_output is a whole number, not ''"),
    'bottom: "conv1" top: "conv2"': ('bottom: "other" top: "conv2"', "the prototxt has 2 inputs, data, other"),
    "crop_size: 32": ("crop_size: x", "the prototxt does not say the shape of an image"),
    "dropout_ratio: 0.4 } }": ("dropout_ratio: 0.4 }", "it is not whole"),
    "0.4": ("°", "of the prototxt cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new"), WRONG.items(), ids=range(len(WRONG)))
def test_what_a_net_file_cannot_say_is_told_with_its_layer(old: str, new: tuple[str, str]) -> None:
    assert old in NET
    with pytest.raises(RequestError, match=re.escape(new[1])):
        net_file(NET.replace(old, new[0]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_text_is_a_net_file_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(NET)))
    changed = NET[:start] + data.draw(st.text(max_size=8)) + NET[start + data.draw(st.integers(0, 30)) :]
    try:
        planned(net_file(changed))
    except RequestError as error:
        assert "\n" not in str(error)


def test_the_verb_converts_both_ways(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "net.prototxt").write_text(NET)
    code, out, _ = cli("convert", tmp_path / "net.prototxt", "--out", tmp_path / "net.toml")
    assert code == 0 and "small_net: 6 rows, images of 3x32x32, 5 classes" in out
    code, _, _ = cli("convert", tmp_path / "net.toml", "--out", tmp_path / "back.prototxt")
    assert code == 0 and net_file((tmp_path / "back.prototxt").read_text()) == (tmp_path / "net.toml").read_text()
    for words, told in (
        (("net.toml", "net.toml"), "is the input, and is not overwritten"),
        (("net.toml", "net.yaml"), "networks are converted between .toml, .prototxt, .json"),
        (("none.toml", "b.toml"), "cannot read"),
    ):
        code, out, err = cli("convert", tmp_path / words[0], "--out", tmp_path / words[1])
        assert (code, out) == (2, "") and told in err
