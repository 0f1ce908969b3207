"""ENet against its table and its authors' code, unpooling against torch's, and its training in two steps."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.layers.unpooling import Unpooling
from striate.nets.build import create
from striate.nets.enet import ROWS, Block, Downsampling, Upsampling, class_weights


def on_meta(name: str, classes: int | None = None) -> Any:
    with torch.device("meta"):
        return create(name, classes=classes).eval()


@pytest.mark.parametrize(
    ("classes", "encoder", "whole", "size", "cost"),
    [
        (19, 340_607, 364_311, (512, 1024), 3_922_067_456),
        (20, 340_736, 364_376, (360, 640), 1_727_251_200),
        (12, 339_704, 363_856, (360, 480), 1_273_320_000),
    ],
)
def test_counts_are_those_of_the_authors_code(
    classes: int, encoder: int, whole: int, size: tuple[int, int], cost: int
) -> None:
    assert parameters(on_meta("enet_19_encoder", classes)) == encoder
    net = on_meta("enet_19", classes)
    assert (parameters(net), madds(net, size)) == (whole, cost)
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    biases = sum(layer.bias.numel() for layer in layers if layer.bias is not None)
    assert classes != 19 or whole - biases == 363_599


def test_maps_are_as_large_as_the_table_says() -> None:
    net = on_meta("enet_19")
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        return lambda module, inputs, output: found.update({name: tuple(output.shape[1:])})

    for name in ("initial", "section1", "section2", "section3", "section4", "section5", "fullconv"):
        net.get_submodule(name).register_forward_hook(note(name))
    net(torch.empty(1, 3, 512, 512, device="meta"))
    for row in ROWS:
        name = row.block.replace("bottleneck", "section").partition(".")[0]
        assert found[name] == (int(row.channels) if row.channels.isdigit() else 19, row.size, row.size)
    assert found["section3"] == found["section2"]


def test_blocks_are_of_the_types_of_the_table_twice() -> None:
    net = on_meta("enet_19")
    dilated = [(3, 3), 2, (1, 5), 4, (3, 3), 8, (1, 5), 16]
    for section in (net.section2, net.section3):
        for block, expected in zip(section, dilated, strict=True):
            middle = block.branch.middle
            if isinstance(middle, nn.Sequential):
                assert [layer.kernel_size for layer in middle] == [expected, (5, 1)]
                assert [layer.bias is None for layer in middle] == [True, False]
            else:
                assert expected in (middle.dilation[0], middle.kernel_size)
                assert middle.padding == middle.dilation


def test_the_encoder_has_prelu_and_dropout_and_the_decoder_relu_and_none() -> None:
    net = on_meta("enet_19")
    for path, module in net.named_modules():
        decoder = path.startswith(("up", "section4", "section5"))
        assert not isinstance(module, nn.PReLU) or not decoder
        assert not isinstance(module, nn.ReLU) or decoder
    rates = [(path[:8], module.p) for path, module in net.named_modules() if isinstance(module, nn.Dropout2d)]
    assert [rate for _, rate in rates] == [0.01] * 5 + [0.1] * 17


def test_unpooling_returns_maxima_to_their_places() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8)
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    back = Unpooling(2)(pooled, places)
    assert torch.equal(back, torch.where(back != 0, x, 0.0)) and int((back != 0).sum()) == pooled.numel()
    values = torch.randn_like(pooled, requires_grad=True)
    finer = Unpooling(2)(values, places)
    assert torch.equal(finer, F.max_unpool2d(values, places, 2))
    assert torch.equal(F.max_pool2d(finer.abs(), 2), values.abs())
    weights = torch.randn_like(finer)
    (finer * weights).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad.flatten(2), weights.flatten(2).gather(2, places.flatten(2)))


def silenced(block: Any) -> Any:
    """The block with a branch that adds nothing."""
    nn.init.zeros_(block.branch.norm3.weight)
    return block.eval()


def test_shortcuts_pool_pad_and_unpool() -> None:
    torch.manual_seed(1)
    x = torch.rand(2, 8, 6, 8)
    down = silenced(Downsampling(Block("b0", "downsampling", 8, 20, 0.0), nn.PReLU))
    y, places = down(x)
    assert torch.equal(y[:, :8], F.max_pool2d(x, 2)) and not y[:, 8:].any()
    up = silenced(Upsampling(Block("b0", "upsampling", 20, 8, 0.0), lambda channels: nn.ReLU()))
    expected = F.max_unpool2d(up.shortcut(y), places, 2).relu()
    assert torch.equal(up(y, places), expected)


def test_rare_classes_weigh_more_in_the_loss() -> None:
    shares = torch.tensor([1.0, 0.5, 0.001, 0.0])
    weights = class_weights(shares)
    assert weights.tolist() == pytest.approx([*(1 / math.log(1.02 + float(p)) for p in shares[:3]), 0], rel=1e-5)
    assert 1.4 < float(weights[0]) < float(weights[1]) < float(weights[2]) < 50.5
    assert float(class_weights(shares, 1.2)[2]) == pytest.approx(1 / math.log(1.201), rel=1e-5)


def test_images_must_divide_by_eight() -> None:
    net = create("enet_tiny").eval()
    assert net(torch.zeros(1, 3, 16, 40)).shape == (1, 5, 16, 40)
    assert create("enet_encoder_tiny").eval()(torch.zeros(1, 3, 16, 40)).shape == (1, 5, 2, 5)
    with pytest.raises(RequestError, match="sides that are multiples of 8 pixels, not 20 x 40"):
        net(torch.zeros(1, 3, 20, 40))
    with pytest.raises(RequestError, match="the first block has 8 maps, so an image of 8 channels is too many"):
        create("enet_tiny", in_channels=8)


def drawn(count: int, size: int = 32) -> tuple[Tensor, Tensor]:
    """Images with a bright square and a red disc on a noisy ground, and the class of each pixel."""
    generator = torch.Generator().manual_seed(3)
    images, targets = (
        torch.randn(count, 3, size, size, generator=generator) * 0.3,
        torch.zeros(count, size, size).long(),
    )
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for image, target in zip(images, targets, strict=True):
        top, left, y, x = torch.randint(7, size - 7, (4,), generator=generator).tolist()
        square = (rows - top).abs().maximum((columns - left).abs()) < 7
        disc = (rows - y) ** 2 + (columns - x) ** 2 < 50
        image[:, square] += 1.5
        image[0, disc] += 3
        target[square] = 1
        target[disc] = 2
    return images, targets


def fitted(net: Any, images: Tensor, targets: Tensor, epochs: int) -> Any:
    """The paper's loss, Adam, L2 and batches; at twenty times its rate, which falls to zero, to be quick."""
    weights = class_weights(targets.flatten().bincount(minlength=3) / targets.numel())
    optimizer = torch.optim.Adam(net.parameters(), 1e-2, weight_decay=2e-4)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.02, epochs * len(images) // 10)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(10):
            loss = F.cross_entropy(net(images[rows]), targets[rows], weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            falling.step()
    return net


def overlap(net: Any, images: Tensor, targets: Tensor) -> float:
    """The mean over the classes of intersection over union."""
    with torch.no_grad():
        found = net.eval()(images).argmax(1)
    both = [float(((found == k) & (targets == k)).sum()) for k in range(3)]
    either = [float(((found == k) | (targets == k)).sum()) for k in range(3)]
    return sum(one / other for one, other in zip(both, either, strict=True)) / 3


def test_the_encoder_is_trained_and_then_the_whole() -> None:
    torch.manual_seed(1)
    images, targets = drawn(60)
    others = tuple(part[60:] for part in drawn(80))
    encoder = fitted(create("enet_encoder_tiny", classes=3), images, targets[:, 4::8, 4::8], 6)
    net: Any = create("enet_tiny", classes=3)
    before = overlap(net, *others)
    net.train().take(encoder)
    assert torch.equal(net.section3.b8.branch.middle.weight, encoder.section3.b8.branch.middle.weight)
    fitted(net, images, targets, 8)
    ground = float((others[1] == 0).float().mean()) / 3  # the overlap of the answer that all is ground
    assert before < ground < 0.3 and overlap(net, *others) > 0.45
    with pytest.raises(RequestError, match=r"the encoder does not fit enet_tiny: initial.conv.weight"):
        net.take(create("enet_19_encoder"))


def test_weights_begin_as_torch7_does() -> None:
    torch.manual_seed(2)
    net: Any = create("enet_19")
    for layer, fan_in in ((net.section2.b1.branch.middle, 9 * 32), (net.up4.branch.middle, 9 * 16), (net.fullconv, 64)):
        weight = layer.weight.detach()
        assert float(weight.abs().max()) == pytest.approx(fan_in**-0.5, rel=0.02)
        assert float(layer.bias.detach().abs().max()) <= fan_in**-0.5
        assert layer.bias.any()
    assert float(net.initial.act.weight.detach().mean()) == 0.25
