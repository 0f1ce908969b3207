"""Key maps: every name of a peer's state maps to a different name of ours, and all of ours are covered."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from striate.errors import RequestError, WorkError
from striate.nets.build import create
from striate.nets.catalog import entries, entry
from striate.weights.fitting import Rename, fitted, renamed
from striate.weights.keys import KeyMap
from striate.weights.libraries import LIBRARIES
from striate.weights.peers import converted, key_map_of, offered, offered_nets, sources_of

LEAVES = {
    "w": ("weight",),
    "wb": ("weight", "bias"),
    "norm": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}


class Peer(NamedTuple):
    library: str
    peer: str
    net: str
    names: tuple[str, ...]


def spelt(text: str) -> Iterator[str]:
    """`a{1-3,5}.b` -> a1.b, a2.b, a3.b, a5.b."""
    parts = re.split(r"\{([\d,-]+)\}", text)
    choices = [[part] if place % 2 == 0 else list(numbers(part)) for place, part in enumerate(parts)]
    return ("".join(words) for words in itertools.product(*choices))


def numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from map(str, range(int(first), int(last or first) + 1))


def peers() -> Iterator[Peer]:
    text = Path(__file__).with_name("peer_names.txt").read_text(encoding="utf-8")
    for block in re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip().split("\n\n"):
        head, *lines = block.splitlines()
        names = [
            f"{module}.{leaf}"
            for kind, modules in map(str.split, lines)
            for module in spelt(modules)
            for leaf in LEAVES[kind]
        ]
        library, peer, net = head.split()
        yield Peer(library, peer, net, tuple(names))


PEERS = list(peers())


def our_names(net: str, options: dict[str, object]) -> set[str]:
    with torch.device("meta"):
        return set(create(net, options=options).state_dict())


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.library}-{peer.peer}")
def test_a_map_is_one_to_one(peer: Peer) -> None:
    key_map = key_map_of(peer.net, peer.library, peer.peer)
    assert len(set(peer.names)) == len(peer.names)
    found = renamed({name: np.zeros(0) for name in peer.names}, key_map.rules)
    assert len(found) == len(peer.names), "two of their names became one"
    ours = our_names(peer.net, dict(key_map.options))
    extra = set(found) - ours
    if key_map.norm_bias:
        assert extra and all(re.fullmatch(r".*\.conv\.bias", name) for name in extra)
        extra = set()
    assert not extra
    without = [f"{pattern}.bias" for pattern in key_map.no_bias]
    missing = ours - set(found)
    assert all(any(fnmatchcase(name, pattern) for pattern in without) for name in missing)
    assert bool(missing) == bool(without)


CAFFE = {
    "squeezenet1_1": ["conv1", "conv10", *spelt("fire{2-9}/squeeze1x1"), *spelt("fire{2-9}/expand{1}x1"),
                      *spelt("fire{2-9}/expand{3}x3")],
    "caffenet": [*spelt("conv{1-5}"), *spelt("fc{6-8}")],
    "vgg16": [*spelt("conv{1-2}_{1-2}"), *spelt("conv{3-5}_{1-3}"), *spelt("fc{6-8}")],
    "vgg19": [*spelt("conv{1-2}_{1-2}"), *spelt("conv{3-5}_{1-4}"), *spelt("fc{6-8}")],
    "nin_imagenet": [*spelt("conv{1-3}"), "conv4-1024", *spelt("cccp{1-6}"), *spelt("cccp{7-8}-1024")],
    "googlenet": [
        "conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3", "loss3/classifier",
        *(f"inception_{module}/{part}" for module in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
          for part in ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")),
        *(f"loss{number}/{part}" for number in (1, 2) for part in ("conv", "fc", "classifier")),
    ],
}  # fmt: skip


@pytest.mark.parametrize("net", CAFFE)
def test_a_map_from_caffe_is_one_to_one(net: str) -> None:
    names = [f"{layer}.{leaf}" for layer in CAFFE[net] for leaf in ("weight", "bias")]
    found = renamed({name: np.zeros(0) for name in names}, key_map_of(net, "caffe").rules)
    assert len(found) == len(names)
    assert set(found) == our_names(net, {})


def test_auxiliary_heads_are_dropped_if_ours_has_none() -> None:
    (peer,) = (peer for peer in PEERS if (peer.library, peer.net) == ("torchvision", "inception_v3"))
    found = renamed(dict.fromkeys(peer.names, np.zeros(0)), key_map_of("inception_v3_no_aux", "torchvision").rules)
    assert set(found) == our_names("inception_v3_no_aux", {})


def test_the_published_densenets_have_the_names_of_an_older_torch() -> None:
    (peer,) = (peer for peer in PEERS if (peer.library, peer.net) == ("torchvision", "densenet121"))
    old = [re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name) for name in peer.names]
    assert old != list(peer.names)
    found = renamed(dict.fromkeys(old, np.zeros(0)), key_map_of("densenet121", "torchvision").rules)
    assert set(found) == our_names("densenet121", {})


def test_numbers_are_incremented_and_words_copied() -> None:
    rules = [Rename("a{n}.{X}", "b{n+2}.{X}.{n-1}"), Rename("gone.{X}", "-")]
    found = renamed({"a3.3x3.weight": np.zeros(1), "gone.w.bias": np.zeros(1)}, rules)
    assert list(found) == ["b5.3x3.2.weight"]
    with pytest.raises(WorkError, match=r"no rule renames 'ax.3x3', 'b'"):
        renamed({"ax.3x3.weight": np.zeros(1), "b.bias": np.zeros(1), "b.weight": np.zeros(1)}, rules)


def test_a_fully_connected_layer_may_be_written_as_a_convolution() -> None:
    shapes = {"head.weight": (2, 12), "head.bias": (2,)}
    given = np.arange(24.0).reshape(2, 3, 2, 2)
    found = fitted({"head.weight": given, "head.bias": np.zeros(2)}, "a net", shapes)
    assert np.array_equal(found["head.weight"], given.reshape(2, 12))
    with pytest.raises(WorkError, match=r"head.weight is \(12, 2\), not \(2, 12\)"):
        fitted({"head.weight": np.zeros((12, 2)), "head.bias": np.zeros(2)}, "a net", shapes)


def test_every_published_row_has_rules_and_fits_its_net() -> None:
    nets = {entry.name for entry in entries()}
    for library in LIBRARIES:
        assert offered_nets(library)
        for net in offered_nets(library):
            assert net in nets
            offer = offered(net, library)
            for row in offer.rows:
                pixels = offer.pixels(row)
                # Some were trained on smaller or larger images than the paper's: 160 or 288 pixels for ResNet-50.
                assert pixels.height == pixels.width == row.size
                assert row.size <= row.resize or (row.resize == 0 and pixels.rule == "squash")
                # MobileNets also on images of 128 and 96.
                assert row.size == entry(net).input_size[0] or 96 <= row.size <= 600
                assert 0 <= row.top1 < 100
                unstated = library in ("caffe", "landscape", "darknet", "edgenets") or (
                    library == "keras" and "mobilenet" in net
                )
                assert row.digits or unstated or row.file == "model.safetensors"


def test_unsupported_imports_are_refused_with_the_reason() -> None:
    with pytest.raises(RequestError, match="import it as resnet50_modern"):
        offered("resnet50", "torchvision")
    with pytest.raises(RequestError, match="unknown timm weights of efficientnet_b0 'efficientnet_b00'; did you mean"):
        offered("efficientnet_b0", "timm", "efficientnet_b00")
    with pytest.raises(RequestError, match="from akamaster: resnet20, resnet32, resnet44, resnet56"):
        offered("lenet5", "akamaster")
    with pytest.raises(RequestError, match="unknown library 'torchvison'; did you mean 'torchvision'"):
        offered("resnet18", "torchvison")
    assert sources_of("squeezenet1_0") == ["torchvision", "pytorchcv", "caffe"]
    assert sources_of("lenet5") == []


def test_a_library_may_have_two_networks_of_one_architecture() -> None:
    """timm's tf_ networks pad as TensorFlow does, its own on all sides alike: a published file says which it is."""
    tensorflow, own = (offered("efficientnet_b0", "timm", peer) for peer in ("tf_efficientnet_b0", "efficientnet_b0"))
    assert tensorflow.key_map.options == {} == offered("efficientnet_b0", "timm").key_map.options
    assert own.key_map.options == {"padding": "half", "norm_eps": 1e-5}
    published = offered("efficientnet_b0", "timm").row({"sha256": "3dd342df" + "0" * 56})
    assert published is not None and published.peer == "efficientnet_b0.ra_in1k"
    assert offered("efficientnet_b0", "timm").of(published).key_map.options == own.key_map.options


@pytest.mark.parametrize(
    ("net", "library", "peer", "options"),
    [
        ("resnet50_modern", "pytorchcv", "resnet50b", {}),
        ("se_resnet50", "pytorchcv", "seresnet50", {}),
        ("se_resnet50", "pytorchcv", "seresnet50b", {"stride_in": "3x3"}),
        ("se_resnet50", "timm", "seresnet50", {"stride_in": "3x3"}),
        ("se_resnet50", "timm", "legacy_seresnet50", {"pooling": "ceil"}),
        ("preact_resnet152", "pytorchcv", "preresnet152", {"opening": "own", "stride_in": "1x1"}),
        ("preact_resnet152", "pytorchcv", "preresnet152b", {"opening": "own", "stride_in": "3x3"}),
        ("preact_resnet110", "pytorchcv", "preresnet110_svhn", {"opening": "own"}),
        ("efficientnet_b1", "pytorchcv", "efficientnet_b1b", {}),
        ("efficientnet_b1", "pytorchcv", "efficientnet_b1", {"padding": "half", "norm_eps": 1e-5}),
        ("squeezenet1_1", "pytorchcv", "squeezenet_v1_1", {}),
        ("squeezenet1_1", "pytorchcv", "squeezeresnet_v1_1", {"bypass": True}),
        ("densenet100_k24", "pytorchcv", "densenet100_k24_cifar100", {"compression": 0.5, "filters": 48}),
        ("nin_cifar", "pytorchcv", "nin_svhn", {"pooling": "padded"}),
    ],
)
def test_a_librarys_own_network_is_the_one_its_weights_are_for(
    net: str, library: str, peer: str, options: dict[str, object]
) -> None:
    assert dict(offered(net, library, peer).key_map.options) == options


@pytest.mark.parametrize(
    ("net", "options"),
    [
        ("nin_tiny", {"pooling": "padded"}),
        ("resnet_tiny", {"pooling": "ceil"}),
        ("densenet_tiny", {"filters": 20}),
        ("densenet_tiny", {"compression": 1.0}),
    ],
)
def test_an_option_of_a_publisher_makes_another_network(net: str, options: dict[str, object]) -> None:
    torch.manual_seed(0)
    paper = create(net).eval()
    torch.manual_seed(0)
    theirs = create(net, options=options).eval()
    x = torch.randn(2, 3, *entry(net).input_size)
    assert theirs(x).shape == paper(x).shape
    assert not torch.allclose(theirs(x), paper(x), rtol=1e-3)


def test_an_opening_of_its_own_is_only_in_the_branch() -> None:
    """As some reimplementations have it: the shortcut of the first unit is the convolution's plain output."""
    torch.manual_seed(0)
    net = create("preact_resnet110", options={"opening": "own"}).eval()
    shared = create("preact_resnet110").eval()
    assert sum(one.numel() for one in net.parameters()) == sum(one.numel() for one in shared.parameters())
    x = torch.randn(1, 3, 32, 32)
    first = net.get_submodule("stage1.0")
    seen = net.get_submodule("stem")(x)
    assert (seen < 0).any()
    assert torch.equal(first(seen), seen + first.residual(first.before(seen)))


def test_biases_that_a_library_has_not_are_zero() -> None:
    state = {key: tensor.numpy() for key, tensor in create("mobilenet_v2_tiny").state_dict().items()}
    rules = tuple(Rename(name, name) for name in {key.rpartition(".")[0] for key in state})
    given = {key: array for key, array in state.items() if key != "head.bias"}
    with pytest.raises(WorkError, match=r"head\.bias is missing"):
        converted(given, "mobilenet_v2_tiny", KeyMap(rules))
    found, classes = converted(given, "mobilenet_v2_tiny", KeyMap(rules, no_bias=("head",)))
    assert classes == len(found["head.bias"]) and not found["head.bias"].any()
    assert all(np.array_equal(found[key], array) for key, array in given.items())


def test_the_publishers_variants_are_other_networks_than_the_papers() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 64, 64)
    for net, library in (("mobilenet_v2", "torchvision"), ("mobilenet_v1", "timm"), ("efficientnet_b0", "torchvision")):
        options = offered(net, library).key_map.options
        paper, theirs = create(net).eval(), create(net, options=options).eval()
        theirs.load_state_dict(paper.state_dict())
        assert theirs.options["options"] == options
        first = paper.stages[0]
        assert not torch.allclose(paper.maps(x)[first], theirs.maps(x)[first], rtol=0.01), net
        padded = [module for module in theirs.modules() if type(module) is torch.nn.Conv2d and module.stride == (2, 2)]
        assert padded and all(module.padding[0] == module.kernel_size[0] // 2 for module in padded), net


def test_inception_counts_the_border_as_the_ports_do() -> None:
    paper = create("inception_v3_tiny")
    ports = create("inception_v3_tiny", options={"count_border": True})
    pools = [[module for module in net.modules() if isinstance(module, torch.nn.AvgPool2d)] for net in (paper, ports)]
    assert not any(pool.count_include_pad for pool in pools[0] if pool.padding)
    assert all(pool.count_include_pad for pool in pools[1])


def test_a_bias_before_a_normalisation_is_folded_into_its_mean() -> None:
    torch.manual_seed(0)
    net = create("bn_inception_tiny").eval()
    state = {key: tensor.numpy().copy() for key, tensor in net.state_dict().items()}
    biased, want = dict(state), state["conv1.norm.running_mean"]
    bias = np.full_like(want, 0.25)
    biased |= {"conv1.conv.bias": bias, "conv1.norm.running_mean": want + bias}
    rules = (Rename("{A}.{B}.{C}.{D}", "{A}.{B}.{C}.{D}"), Rename("{A}.{B}.{C}", "{A}.{B}.{C}"),
             Rename("{A}.{B}", "{A}.{B}"), Rename("{A}", "{A}"))  # fmt: skip
    key_map = KeyMap(rules, norm_bias=True)
    found, classes = converted(biased, "bn_inception_tiny", key_map)
    assert classes == 10
    assert np.allclose(found["conv1.norm.running_mean"], want, atol=1e-6)
    assert all(np.array_equal(found[key], state[key]) for key in state if key != "conv1.norm.running_mean")
