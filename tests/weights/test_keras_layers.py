"""Keras's layers become our weights: by name or by order, biases, epsilon and flattening folded; or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from keras_files import Layers, as_keras, settled, write_named, write_numbered

from striate.errors import RequestError, WorkError
from striate.nets.base import Net
from striate.nets.build import create
from striate.pixels import Pixels
from striate.weights.checkpoints import read_checkpoint
from striate.weights.fitting import Arrays, Rename
from striate.weights.keras_layers import channels_first, from_keras, with_input_normalisation
from striate.weights.keys import KeyMap, keras
from striate.weights.peers import converted, key_map_of, offered, offered_nets, sources_of

NET = "mobilenet_v1_025"  # the smallest that Keras publishes


def names(net: str, options: dict[str, object]) -> set[str]:
    with torch.device("meta"):
        return {key.rpartition(".")[0] for key in create(net, options=options).state_dict()}


@pytest.mark.parametrize("net", offered_nets("keras"))
def test_the_rules_of_every_network_are_one_to_one(net: str) -> None:
    key_map = key_map_of(net, "keras")
    ours = [rule.ours for rule in key_map.rules]
    assert len(set(ours)) == len(ours) == len({rule.theirs for rule in key_map.rules})
    assert set(ours) == names(net, dict(key_map.options))


@pytest.fixture(scope="module")
def net() -> Net:
    return settled(create(NET, classes=7, options=dict(key_map_of(NET, "keras").options)))


@pytest.fixture(scope="module")
def arrays(net: Net) -> Arrays:
    """The state of the network."""
    return {key: tensor.numpy() for key, tensor in net.state_dict().items()}


@pytest.fixture(scope="module")
def layers(net: Net) -> Layers:
    """Its layers, as Keras has them."""
    return as_keras(net, key_map_of(NET, "keras").rules)


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def test_layers_are_paired_by_name_in_any_order(arrays: Arrays, layers: Layers, tmp_path: Path) -> None:
    found = read_checkpoint(write_named(tmp_path / "w.h5", layers[::-1])).arrays
    given, classes = converted(found, NET, key_map_of(NET, "keras"))
    assert classes == 7 and same(given, arrays)


def test_layers_of_other_names_are_paired_by_order_as_keras_does(
    arrays: Arrays, layers: Layers, tmp_path: Path
) -> None:
    renamed = [(f"layer_{number}", kind, given) for number, (_, kind, given) in enumerate(layers)]
    for path in (
        write_named(tmp_path / "a.h5", renamed),
        write_named(tmp_path / "b.h5", [*layers[:-1], ("my_classes", *layers[-1][1:])]),
        write_numbered(tmp_path / "c.weights.h5", layers),
        write_numbered(tmp_path / "d.weights.h5", layers, named=False),
    ):
        found, _ = converted(read_checkpoint(path).arrays, NET, key_map_of(NET, "keras"))
        assert same(found, arrays), path.name


def test_layers_in_another_order_than_keras_has_are_refused(layers: Layers, tmp_path: Path) -> None:
    changed = [("mine", *layers[1][1:]), *layers[2:]]
    changed[5], changed[7] = changed[7], changed[5]
    with pytest.raises(WorkError, match=r"another order than Keras's: '.*' is where '.*' should be"):
        converted(read_checkpoint(write_named(tmp_path / "w.h5", changed)).arrays, NET, key_map_of(NET, "keras"))


@pytest.mark.parametrize("mine", [False, True])
def test_weights_without_a_top_are_refused_with_what_to_give(mine: bool, layers: Layers, tmp_path: Path) -> None:
    bare = [(f"mine_{name}" if mine else name, kind, given) for name, kind, given in layers[:-1]]
    with pytest.raises(WorkError, match=r"it has no top \(conv_preds\): it was saved with include_top=False; give"):
        converted(read_checkpoint(write_named(tmp_path / "w.h5", bare)).arrays, NET, key_map_of(NET, "keras"))


def test_other_layers_than_the_networks_are_refused(layers: Layers, tmp_path: Path) -> None:
    for given, told in (
        (
            [*layers, ("mine", "Dense", [np.ones((7, 7), np.float32)])],
            "has 16 convolution and dense layers, and the .* 15",
        ),
        ([*layers, ("mine", *layers[2][1:])], "has 28 normalisation layers, and the network 27"),
        (layers[:20], "is missing"),
        ([*layers, ("normalization", "Normalization", [np.ones(3), np.ones(3), 1])], "layer that normalises the input"),
    ):
        with pytest.raises(WorkError, match=told):
            converted(read_checkpoint(write_named(tmp_path / "w.h5", given)).arrays, NET, key_map_of(NET, "keras"))


def test_a_checkpoint_of_torch_is_no_file_of_keras(arrays: Arrays) -> None:
    with pytest.raises(WorkError, match=r"'stem\.conv\.weight' is not an array of a Keras layer; .* ends in \.h5"):
        converted(arrays, NET, key_map_of(NET, "keras"))


@torch.no_grad()
def test_biases_and_the_epsilon_of_resnet_are_folded() -> None:
    """As Keras computes it: convolution with a bias, then a normalisation with an epsilon of 1.001e-5."""
    torch.manual_seed(0)
    state = {key: tensor.numpy().copy() for key, tensor in create("resnet_tiny").state_dict().items()}
    width = len(state["conv1.norm.running_mean"])
    conv, norm = torch.nn.Conv2d(3, width, 7), torch.nn.BatchNorm2d(width, eps=1.001e-5)
    norm.running_mean.normal_()  # type: ignore[union-attr]
    norm.running_var.uniform_(0, 1e-5)  # type: ignore[union-attr]
    state |= {f"conv1.conv.{key}": tensor.numpy() for key, tensor in conv.state_dict().items()}
    state |= {f"conv1.norm.{key}": tensor.numpy() for key, tensor in norm.state_dict().items()}
    rules = tuple(Rename(module, module) for module in {key.rpartition(".")[0] for key in state})
    found, _ = converted(state, "resnet_tiny", KeyMap(rules, norm_bias=True, eps_above=keras.EPS_ABOVE))
    ours = create("resnet_tiny").eval()
    ours.load_state_dict({key: torch.from_numpy(array) for key, array in found.items()})
    x = torch.randn(1, 3, 9, 9)
    want = norm.eval()(conv(x))
    got = ours.conv1.norm(torch.nn.functional.conv2d(x, ours.conv1.conv.weight))
    assert torch.allclose(got, want, rtol=0, atol=1e-5 * float(want.abs().max()))
    without, _ = converted(state, "resnet_tiny", KeyMap(rules, norm_bias=True))
    difference = found["conv1.norm.running_var"] - without["conv1.norm.running_var"]
    assert np.allclose(difference, 1e-8, rtol=1e-3)


def test_a_layer_behind_a_flattened_map_is_reordered() -> None:
    torch.manual_seed(0)
    maps, dense = torch.randn(2, 5, 3, 3), torch.randn(4, 45)
    places_first = maps.permute(0, 2, 3, 1).flatten(1) @ dense.T  # as Keras flattens
    ours = torch.from_numpy(channels_first(dense.numpy(), 5).copy())
    assert torch.allclose(maps.flatten(1) @ ours.T, places_first, atol=1e-5)
    assert channels_first(dense.numpy()[:, :44], 5).shape == (4, 44)  # of another shape: told when it is fitted


def test_a_separable_convolution_is_two() -> None:
    rng = np.random.default_rng(0)
    depth, point = rng.normal(size=(3, 3, 4, 1)), rng.normal(size=(1, 1, 4, 5))
    found = from_keras(
        {"sep.depthwise_kernel": depth, "sep.pointwise_kernel": point},
        [Rename("sep.depthwise", "a"), Rename("sep.pointwise", "b")],
        {},
    )
    assert np.array_equal(found["sep.depthwise.weight"][2, 0], depth[:, :, 2, 0])
    assert np.array_equal(found["sep.pointwise.weight"][3, 2], point[:, :, 2, 3])


def test_a_normalisation_without_a_scale_has_one_of_one() -> None:
    given = {
        f"bn.{leaf}": np.full(2, value) for leaf, value in (("beta", 1.0), ("moving_mean", 2), ("moving_variance", 3))
    }
    found = from_keras(given, [Rename("bn", "bn")], {"bn.running_mean": (2,), "bn.weight": (2,)})
    assert found["bn.weight"].tolist() == [1, 1] and found["bn.running_var"].tolist() == [3, 3]


def test_a_layer_that_normalises_the_input_becomes_preprocessing() -> None:
    pixels = Pixels(8, 8)
    given = {"n.mean": np.array([0.1, 0.2, 0.3]), "n.variance": np.array([0.04, 0.09, 0.16])}
    found = with_input_normalisation(given, pixels)
    assert found.mean == pytest.approx((25.5, 51, 76.5)) and found.std == pytest.approx((51, 76.5, 102))
    published = {"n.mean": np.float32([0.485, 0.456, 0.406]), "n.variance": np.float32([0.229, 0.224, 0.225])}
    found = with_input_normalisation(published, pixels)
    assert found.mean == pytest.approx(offered("efficientnet_b0", "keras").pixels().mean)
    assert found.std == pytest.approx((58.395, 57.12, 57.375), rel=1e-5)
    assert with_input_normalisation({}, pixels) is pixels
    for wrong in ([0.1, 0.2, -1], [0.1, 0.2], [0.1, 0.2, np.nan]):
        with pytest.raises(RequestError, match="no mean and positive variance for each of three colours"):
            with_input_normalisation(given | {"n.variance": np.array(wrong)}, pixels)


def test_networks_that_differ_are_refused_with_the_reason() -> None:
    assert "keras" in sources_of("vgg16") and "keras" not in sources_of("vgg16_bn")
    for net, told in (
        ("resnet50_modern", "import it as resnet50"),
        ("inception_v3", "import it as inception_v3_no_aux"),
        ("preact_resnet152", "stride in the last unit"),
    ):
        with pytest.raises(RequestError, match=told):
            offered(net, "keras")
    (row,) = offered("vgg19", "keras").rows
    assert row.address("{folder}/{file}").startswith("tensorflow/keras-applications/vgg19/vgg19_weights_tf_")
    assert len(row.digits) == 32 and offered("vgg19", "keras").row({"md5": row.digits}) is row
