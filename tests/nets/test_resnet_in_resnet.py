"""ResNet in ResNet: the equations, its special cases, and ResNet Init as the same layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import describe, parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.resnet_in_resnet import ROWS, GeneralizedLayer, InitLayer, ResNetInResNet, RiRBlock, Streams


def norm(x: Tensor) -> Tensor:
    """A batch norm that has just been made, in training."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def init_of(layer: GeneralizedLayer, before: Streams, after: Streams, stride: int) -> InitLayer:
    """The layer as one convolution over both streams."""
    made = InitLayer(before, after, stride)
    rows = [(layer.r_to_r, layer.t_to_r), (layer.r_to_t, layer.t_to_t)]
    with torch.no_grad():
        made.conv.weight.copy_(torch.cat([torch.cat([one.weight for one in row], 1) for row in rows]))
        made.conv.bias.copy_(torch.cat([row[0].bias + row[1].bias for row in rows]))  # type: ignore[union-attr, operator]
    made.add_identity()
    return made


def test_the_known_counts() -> None:
    assert (entry("rir_18_wide").parameters, entry("rir_18_wide").madds) == (9_477_726, 1_531_723_776)
    with torch.device("meta"):
        assert parameters(create("rir_18_wide", classes=100)) == 9_512_556
        biases = sum(
            module.bias.numel() for module in create("rir_18_wide").modules()
            if isinstance(module, nn.Conv2d) and module.bias is not None
        )  # fmt: skip
    assert entry("rir_18_wide").parameters - biases == 9_469_940
    # ResNet Init has the same weights; only two biases a channel become one.
    assert entry("rir_18_wide_init").madds == entry("rir_18_wide").madds
    assert entry("rir_18_wide").parameters - entry("rir_18_wide_init").parameters == 2 * sum(
        (row.residual + row.transient) * row.blocks for row in ROWS if row.blocks
    )


@pytest.mark.parametrize(("after", "stride"), [(Streams(4, 3), 1), (Streams(8, 6), 2)])
def test_a_layer_is_the_two_equations(after: Streams, stride: int) -> None:
    torch.manual_seed(0)
    layer, x = GeneralizedLayer(Streams(4, 3), after, stride), torch.randn(3, 7, 6, 6)
    r, t = x[:, :4], x[:, 4:]

    def conv(name: str, y: Tensor) -> Tensor:
        made = layer.get_submodule(name)
        assert isinstance(made, nn.Conv2d)
        return F.conv2d(y, made.weight, made.bias, stride, 1)

    zeros = (after.residual - 4) // 2
    shortcut = F.pad(r[:, :, ::stride, ::stride], (0, 0, 0, 0, zeros, zeros))
    residual = norm(conv("r_to_r", r) + conv("t_to_r", t) + shortcut).relu()
    transient = norm(conv("r_to_t", r) + conv("t_to_t", t)).relu()
    torch.testing.assert_close(layer(x), torch.cat([residual, transient], 1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("after", "stride"), [(Streams(4, 3), 1), (Streams(8, 6), 2)])
@pytest.mark.parametrize("training", [True, False])
def test_resnet_init_is_the_same_layer(after: Streams, stride: int, training: bool) -> None:
    torch.manual_seed(0)
    before = Streams(4, 3)
    layer = GeneralizedLayer(before, after, stride).train(training)
    made = init_of(layer, before, after, stride).train(training)
    x = torch.randn(3, 7, 7, 6)
    torch.testing.assert_close(made(x), layer(x), atol=1e-5, rtol=1e-4)


def test_with_nothing_from_t_it_is_a_residual_layer_and_without_r_a_plain_one() -> None:
    torch.manual_seed(0)
    layer, x = GeneralizedLayer(Streams(4, 4), Streams(4, 4), 1), torch.randn(3, 8, 5, 5)
    for one in (layer.t_to_r, layer.r_to_t):
        nn.init.zeros_(one.weight)
    out, r, t = layer(x), x[:, :4], x[:, 4:]
    bias = layer.t_to_r.bias
    assert bias is not None
    torch.testing.assert_close(out[:, :4], norm(layer.r_to_r(r) + bias[:, None, None] + r).relu(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out[:, 4:], norm(layer.t_to_t(t)).relu(), atol=1e-5, rtol=1e-4)


def test_the_outer_shortcut_is_of_the_residual_stream_after_the_last_relu() -> None:
    torch.manual_seed(0)
    block = RiRBlock(Streams(4, 3), Streams(8, 6), 2, form="streams").eval()
    x = torch.randn(2, 7, 6, 6)
    inner = block.layer2(block.layer1(x))
    difference = block(x) - inner
    assert not difference[:, 8:].any()
    torch.testing.assert_close(difference[:, 2:6], x[:, :4, ::2, ::2], atol=1e-6, rtol=1e-5)
    assert [layer.r_to_r.stride[0] for layer in (block.layer1, block.layer2)] == [1, 2]


def test_the_two_streams_have_batch_norms_of_their_own() -> None:
    layer = GeneralizedLayer(Streams(4, 3), Streams(4, 3), 1)
    assert [one.num_features for one in layer.modules() if isinstance(one, nn.BatchNorm2d)] == [4, 3]


def test_resnet_init_starts_from_an_identity() -> None:
    net = create("rir_tiny", options={"form": "init"})
    plain = create("rir_tiny", options={"form": "init"})
    layers = [one for one in net.modules() if isinstance(one, InitLayer)]
    assert len(layers) == 6
    for layer in layers:
        diagonal = torch.stack([layer.conv.weight[:, channel, 1, 1].max() for channel in range(layer.before.residual)])
        assert float(diagonal.detach().mean()) > 0.8
    assert plain(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_maps_are_the_tables() -> None:
    shown = describe("rir_18_wide")
    for row, part in zip(ROWS, shown, strict=False):
        assert part.output == (row.residual + row.transient, row.output_size, row.output_size)
    # Eight blocks of two layers, the first and the last: 18.
    with torch.device("meta"):
        blocks = [one for one in ResNetInResNet().modules() if isinstance(one, RiRBlock)]
    assert 2 * len(blocks) + 2 == 18


def test_a_linear_classifier_reads_both_streams() -> None:
    net = create("rir_tiny", classes=3, options={"classifier": "linear"}).eval()
    x = torch.randn(2, 3, 16, 16)
    assert net.embed(x).shape == (2, net.embedding_size) and net.embedding_size == net.feature_channels == 32
    assert net(x).shape == (2, 3)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(RequestError, match="width must be above 0"):
        create("rir_tiny", options={"width": 0.0})
    with pytest.raises(RequestError, match="must be 'streams' or 'init'"):
        create("rir_tiny", options={"form": "both"})
