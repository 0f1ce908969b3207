"""`create` with weights: those of a package, an import or a model file; other classes get new output layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate import RequestError, create
from striate.jobs.run import Run
from striate.model import Model, write
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.tasks import Classification


def model_of(name: str, classes: int = 5) -> Model:
    torch.manual_seed(3)
    net = create(name, classes=classes)
    tensors, aliases = arrays_of(net)
    head = "head" if isinstance(net.head, torch.nn.Linear) else ""
    names = tuple(map(str, range(classes)))
    return Model(name, net.options, Classification(names), Pixels(32, 32), tensors, head, aliases=aliases)


def test_published_weights_by_name() -> None:
    net = create("efficientnet_lite0", weights="imagenet")
    assert net.training and net.options["classes"] == 1000
    predictor = striate.load("efficientnet_lite0", engine="torch")
    for name, tensor in predictor.net.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name]), name


def test_other_classes_get_a_new_head_and_nothing_else() -> None:
    torch.manual_seed(0)
    net = create("efficientnet_lite0", weights="imagenet", classes=7, input_size=(192, 192))
    torch.manual_seed(0)
    fresh = create("efficientnet_lite0", classes=7)
    published = create("efficientnet_lite0", weights="imagenet").state_dict()
    for name, tensor in net.state_dict().items():
        expected = fresh.state_dict()[name] if name.startswith("head.") else published[name]
        assert torch.equal(tensor, expected), name
    assert net.options == {"classes": 7, "in_channels": 3, "input_size": [192, 192], "options": {}}
    assert net(torch.zeros(2, 3, 192, 192)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet8", "nin_tiny", "squeezenet_tiny", "googlenet_tiny"])
def test_weights_of_a_model_file(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    write(tmp_path / "m.safetensors", model)
    same = create(name, weights=tmp_path / "m.safetensors")
    assert same.options == model.options
    arrays, _ = arrays_of(same)
    assert all(np.array_equal(arrays[key], tensor) for key, tensor in model.tensors.items())
    other, _ = arrays_of(create(name, weights=tmp_path / "m.safetensors", classes=3))
    kept = [key for key, tensor in model.tensors.items() if np.array_equal(other[key], tensor)]
    reshaped = [key for key, tensor in model.tensors.items() if other[key].shape != tensor.shape]
    assert reshaped and sorted([*kept, *reshaped]) == sorted(model.tensors)


def test_weights_of_a_run(trained: Run) -> None:
    net = create(trained.model.net, weights=trained.folder)
    assert net.options["classes"] == 2
    assert np.array_equal(net.state_dict()["head.weight"].numpy(), trained.model.tensors["head.weight"])


def test_a_net_of_fixed_size_has_the_size_of_its_weights(tmp_path: Path) -> None:
    model = model_of("vgg_tiny")
    write(tmp_path / "m.safetensors", model)
    height, width = model.options["input_size"]
    with pytest.raises(RequestError, match="for images of"):
        create("vgg_tiny", weights=tmp_path / "m.safetensors", input_size=(2 * height, 2 * width), classes=3)


def test_unavailable_weights_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "m.safetensors", model_of("resnet8"))
    (tmp_path / "m.pth").write_bytes(b"")
    cases = {
        "resnet20": ("imagenet", "there are no weights for 'resnet20' here.*networks with weights: efficientnet_lite0"),
        "resnet50": ("imagenet", "striate import FILE --net resnet50 --from"),
        "efficientnet_lite": ("imagenet", "did you mean 'efficientnet_lite"),
        "resnet8": ("imagnet", "did you mean 'imagenet'"),
        "plain8": (tmp_path / "m.safetensors", "holds weights of 'resnet8', not of 'plain8'"),
        "vgg16": (tmp_path / "m.pth", "'striate import' converts"),
    }
    for name, (weights, words) in cases.items():
        with pytest.raises(RequestError, match=words):
            create(name, weights=weights)
    with pytest.raises(RequestError, match="are for in_channels 3, not 1"):
        create("resnet8", weights=tmp_path / "m.safetensors", in_channels=1)


def test_nets_are_listed_and_shown_from_python() -> None:
    assert {net.name for net in striate.list_nets("resnet1*")} >= {"resnet18", "resnet110"}
    assert "efficientnet_lite0" in [net.name for net in striate.list_nets(weights=True)]
    assert striate.show("lenet5")["parameters"] == sum(weight.numel() for weight in create("lenet5").parameters())
