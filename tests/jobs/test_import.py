"""striate import: another library's checkpoint becomes a model that answers the same, or nothing is written."""

from __future__ import annotations

import csv
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import strict_json
from safetensors.torch import save_file

from striate import RequestError, evaluate, import_weights, load, train
from striate.model import read
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.state import load_arrays
from striate.weights.classes import CIFAR10, imagenet_names
from striate.weights.imported import imported_path
from striate.weights.libraries import LIBRARIES

NAMES = {  # of SqueezeNet 1.1's parts in torchvision, by ours
    "conv1.conv": "features.0",
    "conv10.conv": "classifier.1",
    **{
        f"fire{fire}.{part}.conv": f"features.{place}.{part.replace('squeeze1x1', 'squeeze')}"
        for fire, place in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)
        for part in ("squeeze1x1", "expand1x1", "expand3x3")
    },
}
State = dict[str, torch.Tensor]


def foreign(net: Net, *, caffe: bool = False) -> State:
    """A network's state as torchvision would name it, or Caffe."""
    found = {}
    for name, tensor in net.state_dict().items():
        module, _, leaf = name.rpartition(".")
        theirs = NAMES[module]
        if caffe:
            theirs = module.removesuffix(".conv").replace(".", "/")
        found[f"{theirs}.{leaf}"] = tensor.clone()
    return found


@pytest.fixture(scope="module")
def net() -> Net:
    torch.manual_seed(0)
    return create("squeezenet1_1", classes=7).eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def again(path: Path) -> Net:
    """The network in a model file."""
    model = read(path)
    made = create(model.net, **model.options)
    load_arrays(made, model.tensors, model.aliases)
    return made.eval()


def same(one: Net, other: Net, x: torch.Tensor, theirs: torch.Tensor) -> bool:
    with torch.inference_mode():
        return torch.allclose(one(x), other(theirs), atol=1e-6)


@pytest.mark.parametrize("ending", [".pth", ".safetensors", "state.th", "parallel.pt"])
def test_there_and_back(net: Net, tmp_path: Path, ending: str) -> None:
    state, path = foreign(net), tmp_path / f"net{ending}"
    if ending == ".safetensors":
        save_file(state, path)
    elif ending == "state.th":
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif ending == "parallel.pt":
        torch.save({f"module.{key}": tensor.double() for key, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    out = tmp_path / "model.safetensors"
    done = import_weights(path, net="squeezenet1_1", source="torchvision", out=out)
    assert done.published is None
    assert done.paths == (out,)
    model = read(out)
    assert model.classes == tuple(f"class {number}" for number in range(7))
    assert model.pixels.as_dict()["fraction"] == 0.875
    assert model.pixels.mean == pytest.approx((123.675, 116.28, 103.53))
    assert model.training["library"] == "torchvision 0.28"
    x = torch.randn(2, 3, 64, 64)
    assert same(net, again(out), x, x)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_numbers_are_refused(value: float, net: Net, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    state = {key: tensor.clone() for key, tensor in foreign(net).items()}
    name = next(key for key in state if key.endswith("weight"))
    state[name].view(-1)[1] = value
    torch.save(state, tmp_path / "net.pth")
    asked = ("--net", "squeezenet1_1", "--from", "torchvision", "--out", tmp_path / "m.safetensors")
    code, _, err = cli("import", tmp_path / "net.pth", *asked)
    assert code == 2
    assert re.search(r"is damaged: 1 of the [\d,]+ values of \S*weight are NaN or infinite$", err.strip())
    assert not (tmp_path / "m.safetensors").exists()


def test_the_help_names_every_library(cli) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = cli("import", "--help")
    assert code == 0 and all(name in out for name in LIBRARIES)


def test_class_names_that_are_there_twice_are_refused(net: Net, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    torch.save(foreign(net), tmp_path / "net.pth")
    (tmp_path / "names.txt").write_text("\n".join("abcadef"))
    asked = ("--net", "squeezenet1_1", "--from", "torchvision", "--out", tmp_path / "m.safetensors")
    code, _, err = cli("import", tmp_path / "net.pth", *asked, "--classes", tmp_path / "names.txt")
    assert code == 2 and err.strip().endswith("names.txt' are both 'a'") and "lines 1 and 4" in err
    assert not (tmp_path / "m.safetensors").exists()


def test_weights_with_which_the_net_overflows_are_refused(net: Net, tmp_path: Path) -> None:
    state = {key: tensor * 1e10 for key, tensor in foreign(net).items()}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(RequestError, match=r"net\.pth' is not imported: .* are NaN or infinite: its weights"):
        import_weights(tmp_path / "net.pth", net="squeezenet1_1", source="torchvision", out=tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.", "model._orig_mod.module."])
def test_a_wrappers_prefix_is_taken_off_and_told(prefix: str, net: Net, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    torch.save({prefix + key: tensor for key, tensor in foreign(net).items()}, tmp_path / "net.pth")
    out = tmp_path / "model.safetensors"
    asked = ("--net", "squeezenet1_1", "--from", "torchvision", "--out", out)
    code, _, err = cli("import", tmp_path / "net.pth", *asked)
    assert code == 0 and f"Its names begin with {prefix!r}" in err
    x = torch.randn(2, 3, 64, 64)
    assert same(again(out), net, x, x)


def test_a_whole_model_is_refused_with_what_to_save(net: Net, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    torch.save(net, tmp_path / "whole.pth")
    asked = ("--net", "squeezenet1_1", "--from", "torchvision", "--out", tmp_path / "m.safetensors")
    code, _, err = cli("import", tmp_path / "whole.pth", *asked)
    assert code == 2 and err.strip().endswith("torch.save(model.state_dict(), 'weights.pth')")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_caffe_nets_blue_green_red_becomes_red_green_blue(net: Net, tmp_path: Path) -> None:
    path, out = tmp_path / "net.safetensors", tmp_path / "model.safetensors"
    save_file(foreign(net, caffe=True), path)
    import_weights(path, net="squeezenet1_1", source="caffe", out=out)
    x = torch.randn(2, 3, 64, 64)
    assert same(again(out), net, x, x.flip(1).contiguous())
    assert not same(again(out), net, x, x)
    assert read(out).pixels.mean == (123.0, 117.0, 104.0)


def test_names_of_another_library_are_recognised(net: Net, tmp_path: Path) -> None:
    save_file(foreign(net, caffe=True), tmp_path / "net.safetensors")
    with pytest.raises(RequestError, match=r"no rule renames .*; the names are those of --from caffe$"):
        import_weights(
            tmp_path / "net.safetensors", net="squeezenet1_1", source="torchvision", out=tmp_path / "model.safetensors"
        )


def test_nets_tell_what_was_kept(net: Net, tmp_path: Path, cache: Path, cli) -> None:  # type: ignore[no-untyped-def]
    assert not any("imported" in one for one in cli("nets", "squeezenet1_1")[1].splitlines())
    save_file(foreign(net), tmp_path / "net.safetensors")
    import_weights(tmp_path / "net.safetensors", net="squeezenet1_1", source="torchvision", keep=True)
    line = next(one for one in cli("nets")[1].splitlines() if one.startswith("squeezenet1_1 "))
    assert line.endswith("  imported")
    assert "efficientnet_lite2, squeezenet1_1" in cli("predict", "xyz", "photo.jpg")[2]


def _without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: _without(s, "features.3.squeeze.bias"), r"fire2\.squeeze1x1\.conv\.bias is missing"),
        (lambda s: _without(s, "classifier.1.weight"), r"conv10\.conv\.weight is missing"),
        (lambda s: {**s, "fc.weight": torch.zeros(1)}, "no rule renames 'fc'"),
        (lambda s: {**s, "features.0.scale": torch.zeros(1)}, r"conv1\.conv\.scale is unexpected"),
        (
            lambda s: {**s, "features.0.weight": torch.zeros(96, 3, 7, 7)},
            r"conv1\.conv\.weight is \(96, 3, 7, 7\), not \(64, 3, 3, 3\)",
        ),
        (lambda s: {"weights": s}, "'weights' in it is not a tensor"),
        (lambda s: {}, "has no dictionary of tensors"),
        (lambda s: {**s, "features.0.weight": s["features.0.weight"].to_sparse()}, "unsupported type torch.float32"),
    ],
)
def test_what_does_not_fit_is_told_by_name_and_nothing_is_written(net: Net, tmp_path: Path, cli, change, told) -> None:  # type: ignore[no-untyped-def]
    path, out = tmp_path / "net.pth", tmp_path / "model.safetensors"
    torch.save(change(foreign(net)), path)
    with pytest.raises(RequestError, match=told):
        import_weights(path, net="squeezenet1_1", source="torchvision", out=out)
    code, _, err = cli("import", path, "--net", "squeezenet1_1", "--from", "torchvision", "--out", out)
    assert code == 2 and err.splitlines()[-1].startswith("striate: ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.pth"]


class Runs:
    """A pickle that would make a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, zipped: bool) -> None:
    path, made = tmp_path / "net.pth", tmp_path / "made"
    if zipped:
        torch.save({"state_dict": {"conv": torch.zeros(1)}, "more": Runs(made)}, path)
    else:
        path.write_bytes(pickle.dumps(Runs(made), protocol=2))
    with pytest.raises(RequestError, match="with more than weights"):
        import_weights(path, net="resnet20", source="akamaster", out=tmp_path / "model.safetensors")
    assert not made.exists() and not (tmp_path / "model.safetensors").exists()


def test_a_wrong_request_is_refused_before_anything_is_read(net: Net, tmp_path: Path) -> None:
    path, out = tmp_path / "net.pth", tmp_path / "model.safetensors"
    asked = {"net": "squeezenet1_1", "source": "torchvision", "out": out}
    with pytest.raises(RequestError, match=r"cannot read .*No such file"):
        import_weights(path, **asked)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"ends in none of .safetensors"):
        import_weights(tmp_path / "net.onnx", **asked)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"no output is given: --out MODEL.safetensors, or --keep"):
        import_weights(path, net="squeezenet1_1", source="torchvision")
    with pytest.raises(RequestError, match=r"the name of a model file must end in .safetensors"):
        import_weights(path, **asked | {"out": tmp_path / "model.pth"})  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="unknown net 'squeezenet1_2'; did you mean"):
        import_weights(path, **asked | {"net": "squeezenet1_2"})  # type: ignore[arg-type]
    for name, content in {"net.pth": b"\x00" * 40, "net.safetensors": b"\x08", "net.caffemodel": b"no"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RequestError, match="cannot be imported"):
            import_weights(tmp_path / name, **asked)  # type: ignore[arg-type]
    torch.save(foreign(net), path)
    with pytest.raises(RequestError, match="have 7 classes, but 2 names are given"):
        import_weights(path, **asked, classes=("a", "b"))  # type: ignore[arg-type]
    own = tmp_path / "own.safetensors"
    save_file(foreign(net), own)
    before = own.read_bytes()
    with pytest.raises(RequestError, match="is not overwritten"):
        import_weights(own, **asked | {"out": own})  # type: ignore[arg-type]
    assert own.read_bytes() == before and not out.exists()


def test_what_is_kept_is_what_the_nets_name_stands_for(
    net: Net, tmp_path: Path, cache: Path, photos: Path, cli
) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match="striate import FILE --net squeezenet1_1 --from torchvision --keep"):
        train(photos, net="squeezenet1_1", strategy="features", out=tmp_path / "run")
    path, names = tmp_path / "net.pth", tmp_path / "names.txt"
    torch.save(foreign(net), path)
    names.write_text("\n".join("abcdefg"))
    asked = ("--net", "squeezenet1_1", "--from", "torchvision", "--keep", "--classes", names)
    code, out, err = cli("import", path, *asked, "--json")
    assert code == 0, err
    assert "is a pickle, of which only tensors and plain containers were read" in err
    told = strict_json(out)
    assert told["paths"] == [str(imported_path("squeezenet1_1"))] and told["classes"] == 7
    assert load("squeezenet1_1").model.classes == tuple("abcdefg")
    run = train(photos, net="squeezenet1_1", strategy="features", out=tmp_path / "run")
    model = run.model
    assert model.head == "head" and model.options["options"] == {"border": False, "classifier": "linear"}
    assert model.tensors["head.weight"].shape == (2, 512)
    assert np.array_equal(model.tensors["fire9.expand3x3.conv.bias"], net.state_dict()["fire9.expand3x3.conv.bias"])
    assert not [name for name in model.tensors if name.startswith("conv10")]
    assert evaluate(tmp_path / "run", photos).evaluation.total == 16

    file = train(photos, net=str(imported_path("squeezenet1_1")), out=tmp_path / "other")
    assert file.plan.strategy == "features"
    assert np.array_equal(file.model.tensors["head.weight"], model.tensors["head.weight"])
    assert f'name = "{imported_path("squeezenet1_1")}"' in (tmp_path / "other" / "recipe.toml").read_text()
    with pytest.raises(RequestError, match="starts from random weights"):
        train(photos, net=str(imported_path("squeezenet1_1")), strategy="scratch", out=tmp_path / "third")


def test_a_file_of_a_net_without_a_linear_head_says_so(photos: Path, tmp_path: Path) -> None:
    from striate import Recipe

    run = train(
        photos,
        out=tmp_path / "run",
        recipe=Recipe().updated(
            {"strategy": "scratch", "net.name": "lenet5", "train.epochs": 1, "inference.engine": "torch"}
        ),
    )
    with pytest.raises(RequestError, match="lenet5 does not end in a linear layer"):
        train(photos, net=str(run.folder / "model.safetensors"), out=tmp_path / "next")


@pytest.mark.parametrize(
    ("peer", "first", "count"),
    [
        ("", "airplane", 10), ("", "apple", 100), ("", "class 0", 7),
        ("resnet20_svhn", "0", 10), ("resnet20_cifar100", "apple", 100),
    ],
)  # fmt: skip
def test_classes_are_named_for_the_data_set_of_the_weights(
    peer: str, first: str, count: int, tmp_path: Path, cli
) -> None:  # type: ignore[no-untyped-def]
    """pytorchcv publishes one network for CIFAR-10, CIFAR-100 and SVHN."""
    torch.manual_seed(0)
    net = create("resnet20", classes=count, options={"shortcut": "B"})
    state = {}
    for name, tensor in net.state_dict().items():
        theirs = re.sub(r"^stage(\d)\.(\d)\.", lambda at: f"features.stage{at[1]}.unit{int(at[2]) + 1}.", name)
        theirs = re.sub(r"unit(\d)\.conv", r"unit\1.body.conv", theirs).replace("shortcut", "identity_conv")
        theirs = theirs.replace("stem.", "features.init_block.").replace(".norm.", ".bn.").replace("head.", "output.")
        state[theirs] = tensor
    torch.save(state, tmp_path / "net.pth")
    asked = ("--net", "resnet20", "--from", "pytorchcv", "--out", tmp_path / "m.safetensors", "--peer", peer)
    code, _, err = cli("import", tmp_path / "net.pth", *asked)
    assert code == 0, err
    model = read(tmp_path / "m.safetensors")
    assert (model.classes[0], len(set(model.classes))) == (first, count)
    assert model.training.get("peer") == (peer or None)


def test_the_published_cifar_checkpoints(test_data: Path, tmp_path: Path) -> None:
    (path,) = (test_data / "weights").glob("resnet20-*.th")
    done = import_weights(path, net="resnet20", source="akamaster", out=tmp_path / "model.safetensors")
    assert done.published is not None and done.published.file == path.name
    assert done.model.training["published_top1"] == 91.73
    assert done.model.classes == CIFAR10
    with np.load(test_data / "cifar10_lossless_5k.npz") as data:
        images, labels = data["xte"][:300], data["yte"][:300]
    answers = load(tmp_path / "model.safetensors", engine="torch").predictions(images)
    assert (answers.argmax(axis=1) == labels).mean() > 0.88


def test_squeezenet_names_two_photographs_of_three(test_data: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    path, out = test_data / "weights" / "squeezenet1_0_caffe.safetensors", tmp_path / "sq.safetensors"
    code, _, err = cli("import", path, "--net", "squeezenet1_0", "--from", "caffe", "--out", out)
    assert code == 0, err
    names = imagenet_names()
    photos = sorted((test_data / "imagenet_samples").glob("*.jpg"))
    assert len(photos) == 200
    with open(tmp_path / "photos.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((photo, names[int(photo.name[:4])]) for photo in photos)
    measured = evaluate(out, tmp_path / "photos.csv", engine="openvino").evaluation
    assert measured.total == 200
    assert (measured.predictions.argmax(axis=1) == measured.targets).sum() == 135
