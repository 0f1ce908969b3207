"""Dropout, stochastic depth and auxiliary heads in networks that were not written with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from scenes import scene
from torch import Tensor, nn

from striate import (
    add_auxiliary_heads,
    add_dropout,
    add_input_dropout,
    add_stochastic_depth,
    check_net,
    export,
    fully_convolutional,
    load,
)
from striate.errors import RequestError
from striate.layers.drop_path import DropPath
from striate.layers.dropout import AlphaDropout, DropoutLinear
from striate.nets.build import check_options, create
from striate.nets.residuals import residual_branches

ADDED: list[tuple[str, dict[str, object]]] = [
    ("resnet_tiny", {"add_dropout": 0.5, "add_stochastic_depth": 0.2, "add_auxiliary_heads": ["conv3_x"]}),
    ("vgg_tiny", {"add_dropout": 0.3, "dropout_place": "relu", "dropout_of": "maps", "add_input_dropout": 0.1}),
    ("lenet5_plain", {"add_dropout": 0.5, "dropout_place": "activations", "swap_activation": "prelu"}),
    ("squeezenet_tiny", {"add_input_dropout": 0.1, "add_auxiliary_heads": ["fire3", "fire5"]}),
    ("enet_tiny", {"add_dropout": 0.1, "dropout_place": "elu", "swap_activation": "elu", "add_stochastic_depth": 0.1}),
]
each = pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(*one, id=f"{one[0]}-{number}", marks=[pytest.mark.slow] if one[0] == "enet_tiny" else [])
        for number, one in enumerate(ADDED)
    ],
)


@each
def test_a_changed_net_keeps_the_contract_and_is_made_again_by_its_options(
    name: str, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    net = create(name, options=options)
    assert [str(failure) for failure in check_net(net, classes=net.options["classes"])] == []
    assert net.options["options"] == options
    again = create(net.name, **net.options)
    again.load_state_dict(net.state_dict())
    images = torch.randn(2, net.in_channels, *net.options["input_size"])
    assert torch.equal(again.eval()(images), net.eval()(images))


def classifier() -> nn.Sequential:
    """A module of one's own."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip


def test_dropout_is_where_it_was_asked_for_and_in_training_only() -> None:
    net, seen = classifier(), list[Tensor]()
    state = net.state_dict()
    assert add_dropout(net, 0.5) == 1 and isinstance(net[6], DropoutLinear)
    assert net.state_dict().keys() == state.keys()
    assert add_dropout(net, 0.25, "tanh", "maps") == 1 and add_dropout(net, 0.25, "activations") == 2
    net[3].register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = torch.randn(64, 3, 9, 9)
    plain = classifier()
    plain.load_state_dict(state)
    assert torch.equal(net.eval()(x), plain(x))
    net.train()(x)
    dropped = seen[-1] == 0
    whole = dropped.flatten(2).all(2)
    assert 0.15 < whole.float().mean() < 0.35  # spatial dropout: a map in four
    assert 0.15 < dropped[~whole].float().mean() < 0.35  # and a value in four of the others


def test_dropout_before_the_head_has_the_rate_that_the_net_s_own_gets() -> None:
    net = create("efficientnet_tiny", options={"add_dropout": 0.4})
    assert net.dropout.p == 0.4 and type(net.head) is nn.Linear
    drawn = create("resnet_tiny", options={"add_dropout": 0.4}).head.dropout(torch.ones(10_000))
    assert float((drawn == 0).float().mean()) == pytest.approx(0.4, abs=0.02)
    assert drawn.max() == pytest.approx(1 / 0.6)


def test_dropout_after_selu_is_alpha_dropout() -> None:
    net = create("vgg_tiny", options={"swap_activation": "selu", "add_dropout": 0.1, "dropout_place": "selu"})
    assert {layer.rate for layer in net.modules() if isinstance(layer, AlphaDropout)} >= {0.1}
    assert not any(type(layer) is nn.Dropout for layer in net.modules())


def test_a_tenth_of_the_image_is_dropped_in_training() -> None:
    net, seen = create("resnet_tiny", options={"add_input_dropout": 0.1}), list[Tensor]()
    net.conv1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.ones(8, 3, 32, 32)
    net.eval()(images)
    net.train()(images)
    assert torch.equal(seen[0], images)
    assert float((seen[1] == 0).float().mean()) == pytest.approx(0.1, abs=0.01)
    own = classifier()
    add_input_dropout(own, 0.9)
    assert not torch.equal(own.train()(images), own(images))


@pytest.mark.parametrize(
    ("name", "branches"),
    [
        ("resnet20", 9), ("preact_resnet_tiny", 3), ("wrn_tiny", 3), ("resnext_tiny", 3), ("se_resnet_tiny", 3),
        ("mobilenet_v2_tiny", 11), ("xception_tiny", 12), ("inception_resnet_tiny", 20), ("enet_tiny", 25),
    ],
)  # fmt: skip
def test_the_residual_branches_of_a_family_are_found(name: str, branches: int) -> None:
    with torch.device("meta"):
        assert len(residual_branches(create(name))) == branches


def test_rates_grow_linearly_and_a_dropped_branch_leaves_the_shortcut() -> None:
    net = create("resnet20")
    before = net.state_dict().keys()
    assert add_stochastic_depth(net, 0.9) == 9 and net.state_dict().keys() == before
    drops = [layer for layer in net.modules() if isinstance(layer, DropPath)]
    assert [round(drop.rate, 6) for drop in drops] == [round(0.1 * n, 6) for n in range(1, 10)]
    block = net.stage3[2].train()
    torch.manual_seed(0)
    x = torch.rand(64, 64, 8, 8)
    left = (block(x) == x).flatten(1).all(1)  # ReLU leaves an image without negative values as it is
    assert 0.7 < left.float().mean() < 1


class OwnResidual(nn.Module):
    """A user's own residual network, whose branch ends in a single layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.norm(self.conv(x))
        return self.last(x.mean((2, 3)))


def test_a_module_of_ones_own_is_found_by_the_pass() -> None:
    net = OwnResidual()
    assert add_stochastic_depth(net, 0.5) == 1
    assert isinstance(net.norm, nn.Sequential) and isinstance(net.norm[1], DropPath)


def test_what_cannot_be_added_is_refused_in_one_line() -> None:
    with pytest.raises(RequestError, match="no shortcuts around branches"):
        check_options("vgg_tiny", {"add_stochastic_depth": 0.2})
    with pytest.raises(RequestError, match="has DropPath already"):
        check_options("efficientnet_tiny", {"add_stochastic_depth": 0.2})
    with pytest.raises(RequestError, match="already: create it anew"):
        add_stochastic_depth(create("resnet_tiny", options={"add_stochastic_depth": 0.2}), 0.3)
    with pytest.raises(RequestError, match="does not end in a linear layer"):
        check_options("nin_tiny", {"add_dropout": 0.5})
    with pytest.raises(RequestError, match="no activation of the kind 'tanh'"):
        check_options("resnet_tiny", {"add_dropout": 0.5, "dropout_place": "tanh"})
    with pytest.raises(RequestError, match="dropout_of goes with add_dropout"):
        check_options("resnet_tiny", {"dropout_of": "maps"})
    with pytest.raises(RequestError, match="dropout must be at least 0 and below 1"):
        check_options("resnet_tiny", {"add_input_dropout": 1.0})
    with pytest.raises(RequestError, match="stage of resnet_tiny"):
        check_options("resnet_tiny", {"add_auxiliary_heads": ["stage9"]})
    with pytest.raises(RequestError, match="must be a list of texts"):
        check_options("resnet_tiny", {"add_auxiliary_heads": "stage2"})
    with pytest.raises(RequestError, match="has auxiliary heads already, on"):
        check_options("googlenet_tiny", {"add_auxiliary_heads": ["inception3a"]})
    with pytest.raises(RequestError, match="add_auxiliary_heads"):
        check_options("enet_tiny", {"add_auxiliary_heads": ["section1"]})
    with pytest.raises(RequestError, match="reads symbols"):
        check_options("lstm_tiny", {"add_input_dropout": 0.1})


def test_auxiliary_heads_are_for_the_loss_alone_and_lowest_first() -> None:
    torch.manual_seed(0)
    net = create("resnet_tiny", classes=5)
    images = torch.randn(3, 3, 32, 32)
    expected = net.eval()(images)
    assert add_auxiliary_heads(net, ["conv4_x", "conv2_x"]) == 2
    assert net.auxiliary_heads == {"conv2_x": "auxiliary1", "conv4_x": "auxiliary2"}
    logits, others = net.forward_aux(images)
    assert torch.equal(logits, expected) and torch.equal(net(images), expected)
    by_hand = net.auxiliary1.full(net.maps(images)["conv2_x"].mean((2, 3)))
    assert [one.shape for one in others] == [(3, 5)] * 2
    assert torch.allclose(others[0], by_hand, atol=1e-6)


def test_a_changed_net_is_made_fully_convolutional() -> None:
    torch.manual_seed(0)
    net = create("vgg_tiny", options=ADDED[1][1] | {"add_auxiliary_heads": ["stage2"]}).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(fully_convolutional(net).eval()(images).flatten(1), net(images), atol=1e-4)


def test_a_changed_net_is_trained_with_its_heads_and_exported_without(tmp_path: Path, cli) -> None:
    data = tmp_path / "data"
    for part, numbers in (("train", range(4)), ("val", range(4, 6))):
        for kind, name in enumerate(("discs", "bars")):
            (data / part / name).mkdir(parents=True)
            for number in numbers:
                scene(kind, number, (64, 56)).save(data / part / name / f"{number}.png")
    words = ['add_auxiliary_heads=["conv3_x"]', "add_dropout=0.2", "add_input_dropout=0.1", "add_stochastic_depth=0.2"]
    words = [word for option in words for word in ("--net-option", option)]
    for setting in ("inference.engine=torch", "inference.precision=float32", "train.compile=no"):
        words += ["--set", setting]
    command = ("train", data, "--net", "resnet_tiny", "--strategy", "scratch", "--epochs", 1, "--batch", 4)
    weights = []
    for aux in (0.3, 0.0):
        code, _, err = cli(*command, "--set", f"loss.aux_weight={aux}", "--out", tmp_path / f"aux{aux}", *words)
        assert code == 0, err
        weights.append(load(tmp_path / f"aux{aux}").model.tensors["conv1.conv.weight"])
    assert not np.array_equal(*weights)  # the head's loss reaches the stem
    saved = tmp_path / "aux0.3" / "model.safetensors"
    export(saved, to="onnx")
    session = onnxruntime.InferenceSession(str(saved.with_suffix(".onnx")), providers=["CPUExecutionProvider"])
    assert "auxiliary" not in saved.with_suffix(".onnx").read_bytes().decode("latin1")
    image = np.asarray(scene(0, 5, (64, 56)))
    predicted = load(saved).predict([image])[0].probabilities
    assert np.abs(session.run(["probabilities"], {"images": image[None]})[0][0] - predicted).max() <= 0.02
