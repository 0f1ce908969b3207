"""Networks of net files: the examples are their catalogue twins, and a file is shown, trained, saved and exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate import load
from striate.errors import RequestError
from striate.nets.build import create, create_classifier

EXAMPLES = Path(__file__).parents[2] / "docs" / "net-files"
TWINS: dict[str, tuple[str, dict[str, object]]] = {
    "alexnet": ("alexnet_one_tower", {}),
    "densenet": ("densenet40_k12", {}),
    "googlenet": ("googlenet_no_aux", {}),
    "lenet5": ("lenet5_plain", {}),
    "mobilenet": ("mobilenet_v1", {"padding": "half", "norm_eps": 1e-5}),
    "nin": ("nin_cifar", {}),
    "resnet20": ("resnet20", {}),
    "squeezenet": ("squeezenet1_1", {}),
    "vgg16": ("vgg16", {}),
    "wide_resnet": ("wrn_tiny", {}),
}


def used(net: nn.Module, images: Tensor) -> tuple[list[nn.Module], Tensor]:
    """The layers with weights or statistics, in the order in which they run, and the output."""
    seen: list[nn.Module] = []
    leaves = [one for one in net.modules() if not list(one.children()) and one.state_dict()]
    hooks = [one.register_forward_hook(lambda module, *_: seen.append(module)) for one in leaves]
    with torch.no_grad():
        output = net(images)
    for hook in hooks:
        hook.remove()
    return seen, output


def test_there_is_a_twin_for_every_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(TWINS) and len(TWINS) == 10


@pytest.mark.parametrize("name", sorted(TWINS))
def test_an_example_is_its_twin_of_the_catalogue(name: str) -> None:
    torch.manual_seed(0)
    twin_name, options = TWINS[name]
    text = (EXAMPLES / f"{name}.toml").read_text("utf-8")
    with torch.device("meta"):
        whole = create("table_net", options={"text": text})
        other = create(twin_name, options=options)
    assert whole.options["classes"] == other.options["classes"]
    assert whole.options["input_size"] == other.options["input_size"]
    assert sum(one.numel() for one in whole.parameters()) == sum(one.numel() for one in other.parameters())

    size = (64, 64) if whole.input_size else None  # its fully connected layers are large
    twin = create(twin_name, options=options, input_size=size).eval()
    net = create("table_net", options={"text": text}, input_size=size).eval()
    images = torch.randn(1, net.in_channels, *net.options["input_size"])
    theirs, output = used(twin, images)
    ours, _ = used(net, images)
    for layer, copied in zip(ours, theirs, strict=True):
        layer.load_state_dict(copied.state_dict())
    with torch.no_grad():
        assert torch.allclose(net(images), output, atol=1e-6)


def test_the_parameters_of_a_file_are_options_of_its_network() -> None:
    text = (EXAMPLES / "resnet20.toml").read_text("utf-8")
    net = create("table_net", options={"text": text, "blocks": 9, "width": 8})
    assert len(net.stages) == 28 and net.feature_channels == 32
    assert create(net.name, **net.options).stages == net.stages
    with pytest.raises(RequestError, match=r"unknown option of table_net: 'widht'; did you mean 'width'\?"):
        create("table_net", options={"text": text, "widht": 8})
    with pytest.raises(RequestError, match=r"option width of table_net must be a whole number, not 'wide'"):
        create("table_net", options={"text": text, "width": "wide"})


def test_a_size_at_which_rows_do_not_fit_is_refused_with_the_row() -> None:
    text = (
        "input = [3, 32, 32]\ntable = '''\nconv3-4 as a\nmaxpool2\nadd a via conv1-4/2\nglobalavgpool fc-classes\n'''"
    )
    net = create("table_net", options={"text": text})
    assert net(torch.randn(1, 3, 32, 48)).shape == (1, 10)
    with pytest.raises(RequestError, match="table row 3: adds 4 x 33 x 32 to 4 x 16 x 16; via makes 4 x 17 x 16 of a"):
        net(torch.randn(1, 3, 33, 32))


def test_stages_names_and_maps() -> None:
    net = create_classifier("table_net_tiny").eval()
    maps = net.maps(torch.randn(1, 3, 32, 32))
    assert {name: tuple(one.shape[1:]) for name, one in maps.items()} == {
        "conv1": (4, 32, 32),
        "basic1": (4, 32, 32),
        "basic2": (8, 16, 16),
    }
    assert isinstance(net.get_submodule("basic2.conv1.bn"), nn.BatchNorm2d)


def test_a_net_file_is_shown_trained_predicted_and_exported(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    images = np.random.default_rng(0).integers(0, 255, (40, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(40) % 2)
    text = (EXAMPLES / "lenet5.toml").read_text("utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('"lenet5"', '"mine"'))

    code, out, _ = cli("show", tmp_path / "mine.toml", "--advice")
    assert code == 0 and "mine, written in a net file" in out and "61,706 parameters" in out
    run = ("train", tmp_path / "data.npz", "--net", tmp_path / "mine.toml", "--epochs", 1, "--out", tmp_path / "run")
    code, out, err = cli(*run)
    assert code == 0, err
    model = load(tmp_path / "run").model
    assert model.net == "table_net" and 'name = "mine"' in str(model.options["options"]["text"])
    code, _, err = cli("export", tmp_path / "run", "--to", "onnx")
    assert code == 0, err

    assert cli("convert", tmp_path / "mine.toml", "--out", tmp_path / "mine.prototxt")[0] == 0
    code, out, err = cli(*run[:3], tmp_path / "mine.prototxt", *run[4:-1], tmp_path / "caffe")
    assert code == 0, err
    assert "conv5-6 p0 tanh" in str(load(tmp_path / "caffe").model.options["options"]["text"])

    (tmp_path / "mine.toml").write_text(text.replace("fc-84", "fc-84x"))
    code, out, err = cli(*run[:-1], tmp_path / "again")
    assert (code, out) == (2, "") and err.splitlines()[-1].startswith("striate: table row 7: 'fc-84x' is not written")
    assert not (tmp_path / "again").exists()
