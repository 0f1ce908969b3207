"""Networks with other layers are created, checked, trained, saved, exported and made fully convolutional as all are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from scenes import scene
from torch import Tensor, nn

from striate import check_net, export, fully_convolutional, load, register, show, swap_activation, swap_norm
from striate.errors import RequestError
from striate.inference.runtimes import import_openvino
from striate.layers.dropout import AlphaDropout
from striate.nets import catalog
from striate.nets.build import check_options, create

SWAPPED = [
    ("resnet_tiny", {"swap_norm": "group", "move_norm": "after", "swap_activation": "prelu"}),
    ("resnet_tiny", {"move_norm": "before", "norm_affine": False, "swap_activation": "elu"}),
    ("vgg_tiny", {"batch_norm": True, "swap_norm": "none", "swap_activation": "selu"}),
    ("vgg_tiny", {"batch_norm": True, "swap_norm": "layer", "swap_activation": "maxout"}),
    ("lenet5_plain", {"swap_activation": "sigmoid"}),
    ("efficientnet_lite_tiny", {"swap_norm": "local-response", "swap_activation": "rrelu"}),
    ("densenet_tiny", {"swap_norm": "instance", "swap_activation": "leaky-relu"}),
]
each = pytest.mark.parametrize(
    ("name", "options"), SWAPPED, ids=[f"{name}-{number}" for number, (name, _) in enumerate(SWAPPED)]
)


class OwnNet(nn.Module):
    """A user's own network."""

    def __init__(self, classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, padding=1, bias=False)
        self.norm, self.act, self.last = nn.BatchNorm2d(8), nn.Hardswish(), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.norm(self.conv(x))).mean((2, 3)))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(catalog, "_own", {})
    monkeypatch.setattr(catalog, "_short_names", {})
    register(OwnNet, name="own_net")
    return "own_net"


@each
def test_a_swapped_net_keeps_the_contract(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = create(name, options=options)
    assert [str(failure) for failure in check_net(net)] == []


def test_a_swapped_module_of_ones_own_keeps_the_contract() -> None:
    net = OwnNet(10)
    swap_norm(net, "group")
    swap_activation(net, "selu")
    assert [str(failure) for failure in check_net(net)] == []


@each
def test_the_options_make_the_same_net_again(name: str, options: dict[str, object]) -> None:
    net = create(name, classes=3, options=options)
    assert net.options["options"] == options
    again = create(net.name, **net.options)
    again.load_state_dict(net.state_dict())
    images = torch.randn(2, net.in_channels, *net.options["input_size"])
    assert torch.equal(again.eval()(images), net.eval()(images))


def test_a_net_that_was_swapped_afterwards_is_made_again_by_its_options() -> None:
    net = create("vgg_tiny", classes=3, options={"batch_norm": True})
    swap_norm(net, "group")
    swap_activation(net, "elu")
    swap_activation(net, "prelu")
    again = create(net.name, **net.options)
    again.load_state_dict(net.state_dict())
    assert net.options["options"] == {"batch_norm": True, "swap_norm": "group", "swap_activation": "prelu"}


def test_a_registered_net_has_the_options_too(own: str) -> None:
    net = create(own, classes=4, options={"swap_norm": "layer", "swap_activation": "elu"})
    assert {type(layer) for layer in net.body.children()} == {nn.Conv2d, nn.GroupNorm, nn.ELU, nn.Identity}
    again = create(own, **net.options)
    again.load_state_dict(net.state_dict())


@pytest.mark.parametrize(("name", "options"), SWAPPED[:5])
def test_a_swapped_net_is_made_fully_convolutional(name: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = create(name, options=options).eval()
    height, width = net.options["input_size"]
    wide = fully_convolutional(net).eval()
    images = torch.randn(2, net.in_channels, height, width)
    with torch.no_grad():
        assert torch.allclose(wide(images).flatten(1), net(images), atol=1e-4)
        assert wide(torch.randn(1, net.in_channels, height + 64, width + 64)).shape[2:] != (1, 1)


def test_wrong_options_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(RequestError, match="option swap_norm of resnet_tiny must be 'batch' or 'layer'"):
        check_options("resnet_tiny", {"swap_norm": "bach"})
    with pytest.raises(RequestError, match="swap_activation"):
        check_options("resnet_tiny", {"swap_activaton": "elu"})
    with pytest.raises(RequestError, match="norm_affine goes with move_norm"):
        check_options("resnet_tiny", {"norm_affine": False})
    with pytest.raises(RequestError, match="no normalisation was found"):
        check_options("lenet5", {"swap_norm": "group"})


def test_show_tells_how_a_swapped_net_is_made() -> None:
    options = {
        "depth": 44,
        "swap_norm": "group",
        "move_norm": "after",
        "norm_affine": False,
        "swap_activation": "prelu",
    }
    shown = show("resnet20", options=options)
    assert shown["made"] == (
        "swap_activation(move_norm(swap_norm(CifarResNet(depth=44), 'group'), 'after', affine=False), 'prelu')"
    )
    plain = show("resnet20")
    prelu = show("resnet20", options={"swap_activation": "prelu"})
    assert prelu["parameters"] - plain["parameters"] == 7 * 16 + 6 * 32 + 6 * 64
    assert prelu["madds"] == plain["madds"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for part, numbers in (("train", range(4)), ("val", range(4, 6))):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in numbers:
                scene(kind, number, (64, 56)).save(root / part / name / f"{number}.png")
    return root


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vgg_tiny", {"batch_norm": "true", "swap_norm": "group", "move_norm": "after", "swap_activation": "rrelu"}),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("vgg_tiny", {"batch_norm": "true", "swap_norm": "local-response", "swap_activation": "maxout"}),
                ("resnet_tiny", {"swap_norm": "none", "swap_activation": "selu"}),
                ("densenet_tiny", {"swap_norm": "instance", "swap_activation": "prelu"}),
            )
        ),
    ],
)
def test_a_swapped_net_is_trained_saved_and_exported(
    name: str, options: dict[str, str], pictures: Path, tmp_path: Path, cli
) -> None:
    words = [word for option in options.items() for word in ("--net-option", "=".join(option))]
    settings = ("inference.engine=torch", "inference.precision=float32", "train.compile=no", "schedule.warmup_epochs=0")
    words += [word for setting in settings for word in ("--set", setting)]
    out = tmp_path / "run"
    code, _, err = cli(
        *("train", pictures, "--net", name, "--strategy", "scratch", "--epochs", 2, "--batch", 4, "--out", out), *words
    )
    assert code == 0, err
    predictor = load(out)
    assert predictor.model.options["options"] == {name: value == "true" or value for name, value in options.items()}
    files = sorted((pictures / "val").rglob("*.png"))
    predicted = np.stack([one.probabilities for one in predictor.predict(files)])
    assert np.ptp(predicted) > 0

    images = np.stack([np.asarray(Image.open(file)) for file in files])
    saved = out / "model.safetensors"
    export(saved, to="onnx")
    session = onnxruntime.InferenceSession(str(saved.with_suffix(".onnx")), providers=["CPUExecutionProvider"])
    assert np.abs(session.run(["probabilities"], {"images": images})[0] - predicted).max() <= 0.02
    export(saved, to="openvino")
    model = import_openvino().Core().compile_model(str(saved.with_suffix(".xml")), "CPU")
    assert np.abs(model([images])["probabilities"] - predicted).max() <= 0.02


def test_alpha_dropout_is_in_a_created_net() -> None:
    net = create("vgg_tiny", options={"swap_activation": "selu", "dropout": 0.1})
    assert [layer.rate for layer in net.modules() if isinstance(layer, AlphaDropout)] == [0.1, 0.1]
