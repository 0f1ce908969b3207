"""Class maps, gradients and occlusion: what must add up does, and nothing is left on the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect import (
    class_map,
    grad_cam,
    gradient,
    integrated_gradients,
    occlusion,
    receptive_fields,
    smooth_gradient,
    stage_by_stage,
    stretched,
    trust,
)
from striate.inspect.class_maps import layer_map
from striate.inspect.outputs import default_layer
from striate.nets.build import create


def made(name: str, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return create(name, **options).eval()  # type: ignore[arg-type]


def images(net: nn.Module, count: int = 2, side: int = 32) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    return torch.randn(count, net.in_channels, side, side, generator=draws)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet8", "efficientnet_lite_tiny", "densenet_tiny"])
def test_a_class_map_of_a_linear_head_adds_up_to_the_logit(name: str) -> None:
    net = made(name)
    x = images(net)
    layer = net.stages[-1]  # type: ignore[index,union-attr]
    found = class_map(net, x, [1, 2], layer)
    logits = net(x)[[0, 1], [1, 2]].detach().numpy()
    assert (found.kind, found.exact) == ("cam", True)
    assert np.allclose(found.values.mean((1, 2)) + found.bias, logits, atol=1e-5)
    assert np.allclose(found.bias, net.head.bias[[1, 2]].detach(), atol=1e-5)  # type: ignore[union-attr,index]
    cells = found.values[0].size
    assert np.allclose(grad_cam(net, x, [1, 2], layer) * cells, found.values, atol=1e-5)


@pytest.mark.parametrize("name", ["nin_tiny", "squeezenet_tiny"])
def test_a_net_of_class_planes_gives_the_planes(name: str) -> None:
    net = made(name)
    x = images(net, side=64)
    found = class_map(net, x, 1, net.stages[-1])  # type: ignore[index,union-attr]
    planes = net.features(x)[:, 1].detach().numpy()  # type: ignore[operator,union-attr]
    assert (found.kind, found.exact) == ("planes", True)
    assert np.allclose(found.values, planes, atol=1e-5)
    assert np.allclose(found.values.mean((1, 2)), net(x)[:, 1].detach(), atol=1e-5)


def test_a_net_that_is_not_linear_above_its_map_is_called_not_exact() -> None:
    net = made("lenet5_plain")
    found = class_map(net, images(net), 0)
    assert (found.kind, found.exact) == ("hirescam", False)
    linear = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = class_map(linear, x, 2, "0")
    assert (found.kind, found.exact) == ("hirescam", True)
    assert np.allclose(found.values.mean((1, 2)) + found.bias, linear(x)[:, 2].detach(), atol=1e-5)


def test_the_default_layer_is_the_last_of_at_least_four_by_four() -> None:
    net = made("resnet8")
    assert default_layer(net, images(net, side=32)) == net.stages[-1]  # type: ignore[index,union-attr]
    assert default_layer(net, images(net, side=12)) == net.stages[-2]  # type: ignore[index,union-attr]


def test_the_gradient_equals_central_differences() -> None:
    net = made("lenet5_plain").double()
    x = images(net, 1).double()
    found = gradient(net, x, 3)[0]
    for place in ((0, 5, 5), (0, 16, 20), (0, 30, 2)):
        step = torch.zeros_like(x[0])
        step[place] = 1e-5
        ends = [float(net(x + sign * step)[0, 3].detach()) for sign in (1, -1)]
        assert abs((ends[0] - ends[1]) / 2e-5 - found[place]) < 1e-6


class Centre(nn.Module):
    """The value in the middle of a map: it sees 5 x 5 pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)[:, :, 8, 8]


def test_the_gradient_is_zero_outside_the_field() -> None:
    x = torch.randn(1, 1, 17, 17, generator=torch.Generator().manual_seed(0))
    found = gradient(Centre().eval(), x, 1)[0, 0]
    assert (found[6:11, 6:11] != 0).all()
    found[6:11, 6:11] = 0
    assert (found == 0).all()


def test_smoothgrad_of_a_linear_net_is_its_gradient() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert np.allclose(smooth_gradient(net, x, [0, 2], seed=3), gradient(net, x, [0, 2]), atol=1e-6)
    bent = nn.Sequential(nn.Flatten(), nn.Linear(48, 3), nn.Tanh()).eval()
    first = smooth_gradient(bent, x, 1, seed=3)
    assert np.array_equal(first, smooth_gradient(bent, x, 1, seed=3))
    assert not np.allclose(first, smooth_gradient(bent, x, 1, seed=4))
    with pytest.raises(RequestError, match="samples must be at least 1"):
        smooth_gradient(net, x, 0, samples=0)


def test_occlusion_of_a_linear_net_is_the_weights_times_the_patch() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)).eval()
    x = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = occlusion(net, x, 1, patch=(4, 4), stride=(2, 2))
    weights = net[1].weight[1].view(3, 8, 8)  # type: ignore[union-attr,index]
    assert found.values.shape == (3, 3)
    for row, column in np.ndindex(3, 3):
        part = (slice(None), slice(2 * row, 2 * row + 4), slice(2 * column, 2 * column + 4))
        assert abs(found.values[row, column] - float((weights[part] * x[part]).sum().detach())) < 1e-5
    assert found.pixels.shape == (8, 8)
    assert np.isclose(found.pixels[0, 0], found.values[0, 0])
    assert np.isclose(found.pixels[2, 2], found.values[:2, :2].mean())


def test_occlusion_in_batches_is_that_of_one_by_one() -> None:
    net = made("resnet8")
    x = images(net)[0]
    many, single = (occlusion(net, x, 2, batch=batch).values for batch in (8, 1))
    assert many.shape == (7, 7)
    assert np.allclose(many, single, atol=1e-5)
    with pytest.raises(RequestError, match="does not fit"):
        occlusion(net, x, 2, patch=(40, 40))


def test_integrated_gradients_add_up_or_say_so() -> None:
    net = made("lenet5_plain")
    x = images(net)[0]
    found = integrated_gradients(net, x, 4)
    change = float((net(x[None])[0, 4] - net(torch.zeros_like(x[None]))[0, 4]).detach())
    assert found.converged and found.gap <= 0.05
    assert abs(found.change - change) < 1e-5
    assert abs(float(found.values.sum()) - change) <= 0.0501 * abs(change)

    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(1e4 * (x.mean((1, 2, 3)) - 0.70123))[:, None]

    missed = integrated_gradients(Steep().eval(), torch.ones(1, 4, 4), 0)
    assert not missed.converged and missed.steps == 256


def test_maps_are_stretched_corner_to_corner() -> None:
    values = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    large = stretched(values, (4, 4))[0]
    assert large[0].tolist() == [0, 0.25, 0.75, 1] and large[:, 0].tolist() == [0, 0.5, 1.5, 2]


def bright_at(down: int, right: int) -> Tensor:
    x = torch.zeros(3, 32, 32)
    x[:, down : down + 8, right : right + 8] = 1
    return x


def finder() -> nn.Module:
    """A net that counts bright pixels, so that its class map is where they are."""
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1, 1], [0, 0, 0]])[..., None, None])  # type: ignore[operator,union-attr]
        net[0].bias.zero_()  # type: ignore[operator,union-attr]
        net[4].weight.copy_(torch.eye(2))  # type: ignore[operator,union-attr]
    return net.eval()


def test_the_offset_of_a_net_that_finds_its_object_is_none() -> None:
    found = trust.offset(finder(), torch.ones(3, 32, 32), 0, "1")
    assert found is not None
    assert np.hypot(*found.mean) < 0.5 and found.furthest < 1
    assert trust.offset(finder(), -torch.ones(3, 32, 32), 0, "1") is None


def test_deletion_by_the_map_is_faster_than_by_chance() -> None:
    net, x = finder(), bright_at(8, 16)
    values = class_map(net, x[None], 0, "1").values[0]
    good = trust.deletion(net, x, 0, values)
    assert good.passed and good.by_map[1] < 0.01 < good.by_chance[1]
    assert not trust.deletion(net, x, 0, -values).passed


def test_a_map_of_weights_is_told_from_one_of_edges() -> None:
    net = made("resnet8")
    x = images(net, 1)

    def learned(net: nn.Module) -> np.ndarray:
        return layer_map(net, x, 1, net.stages[-1])[0]  # type: ignore[index,union-attr]

    rows = trust.randomised(net, learned, draws=3)
    assert rows[0].stage == "head" and all(row.low <= row.mean <= row.high for row in rows)
    assert not trust.like_random(rows)
    edges = trust.randomised(net, lambda net: x[0, 0].numpy(), draws=2)
    assert trust.like_random(edges) and edges[-1].mean == pytest.approx(1)
    square = bright_at(8, 16)
    outline = np.zeros((32, 32), np.float32)
    outline[7:17, 15:25] = 1
    outline[9:15, 17:23] = 0
    assert trust.edge_correlation(square, outline) > trust.EDGES
    assert abs(trust.edge_correlation(square, np.random.default_rng(0).random((32, 32), np.float32))) < trust.EDGES


def test_stages_below_shuffled_ones_are_run_once() -> None:
    net = made("resnet8")
    x, layer = images(net, 1), "stage3"
    runs: list[int] = []
    net.get_submodule("stage1.0").register_forward_hook(lambda *_: runs.append(1))

    def found(net: nn.Module) -> np.ndarray:
        return layer_map(net, x, 1, layer)[0]

    def of_whole_passes(net: nn.Module) -> np.ndarray:
        net(x)  # a stage that runs twice is not kept
        return found(net)

    rows = trust.randomised(net, found, draws=2, seed=1)
    assert [row.stage for row in rows] == ["head", "stage3", "stage2", "stage1", "stem"]
    assert len(runs) == 1 + 2 * 2  # the plain map, and for each draw the last two rows
    assert rows == trust.randomised(net, of_whole_passes, draws=2, seed=1)


def test_rank_correlation_has_ties_and_constants() -> None:
    one = np.array([1, 2, 2, 3], np.float32)
    assert trust.rank_correlation(one, one * 7 - 3) == pytest.approx(1)
    assert trust.rank_correlation(one, np.array([4, 3, 2, 1], np.float32)) == pytest.approx(-0.9486833)
    assert trust.rank_correlation(one, np.ones(4, np.float32)) == 0


def test_stages_have_their_strongest_maps_and_dead_channels() -> None:
    net = made("resnet8")
    x = images(net, 1)[0]
    fields = receptive_fields(net, x)
    stages = stage_by_stage(net, x, fields, count=3)
    maps = net.maps(x[None])  # type: ignore[operator,union-attr]
    assert [stage.name for stage in stages] == list(maps)
    for stage in stages:
        strength = maps[stage.name][0].detach().abs().mean((1, 2))
        assert stage.strongest.tolist() == strength.argsort(descending=True)[:3].tolist()
        field = fields[stage.name]
        assert stage.maps.shape == (3, *stage.size) and field is not None and stage.field == field.size
    dead = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        dead[0].weight[1] = 0  # type: ignore[operator,index,union-attr]
    rows = stage_by_stage(dead.eval(), torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert rows[0].dead == 0.25 and rows[0].field is None


# Nothing is left on the network, whatever is asked, and whatever goes wrong

METHODS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "class_map": lambda net, x: class_map(net, x, 1),
    "layer_map": lambda net, x: layer_map(net, x, 1, "layers"),
    "grad_cam": lambda net, x: grad_cam(net, x, 1),
    "gradient": lambda net, x: gradient(net, x, 1),
    "smooth_gradient": lambda net, x: smooth_gradient(net, x, 1, samples=2),
    "occlusion": lambda net, x: occlusion(net, x[0], 1),
    "integrated_gradients": lambda net, x: integrated_gradients(net, x[0], 1, most_steps=16),
    "stage_by_stage": lambda net, x: stage_by_stage(net, x[0]),
    "randomised": lambda net, x: trust.randomised(net, lambda net: layer_map(net, x, 1, "layers")[0], draws=1),
    "deletion": lambda net, x: trust.deletion(net, x[0], 1, np.eye(4, dtype=np.float32)),
    "offset": lambda net, x: trust.offset(net, x[0], 1, "layers"),
    "default_layer": lambda net, x: default_layer(net, x),
}


class Subject(nn.Module):
    """A net of every kind of state; fails in its `failing`-th forward pass."""

    def __init__(self, failing: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(4, 3)
        self.passes, self.failing = 0, failing

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        made = self.head(self.dropout(self.layers(x).mean((2, 3))))
        if self.passes == self.failing:
            raise ZeroDivisionError
        return made


def state(net: nn.Module) -> list[object]:
    """Everything of a network that an inspection could leave changed."""
    found: list[object] = [(name, value.tolist()) for name, value in net.state_dict().items()]
    for module in net.modules():
        hooks = [value for name, value in vars(module).items() if name.endswith("_hooks") and value]
        found += [module.training, hooks]
    return [*found, *((weight.grad, weight.requires_grad) for weight in net.parameters())]


@pytest.mark.parametrize("failing", [0, 1, 2], ids=["", "fails at once", "fails later"])
@pytest.mark.parametrize("mode", ["training", "evaluation", "mixed"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_on_the_network(method: str, mode: str, failing: int) -> None:
    net = Subject(failing).train(mode != "evaluation")
    if mode == "mixed":
        net.layers.eval()
        net.head.weight.requires_grad_(False)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before, random = state(net), torch.get_rng_state()
    try:
        METHODS[method](net, x)
        assert net.failing == 0 or net.passes < net.failing
    except ZeroDivisionError:
        assert net.failing > 0
    assert state(net) == before
    assert x.grad is None and not x.requires_grad and torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), random)


def test_every_method_of_the_room_is_tried() -> None:
    import striate.inspect as room

    functions = {name for name in room.__all__ if callable(getattr(room, name)) and name[0].islower()}
    assert functions - {"stretched", "receptive_fields"} <= METHODS.keys()


def test_bad_requests_name_what_is_wrong() -> None:
    net = Subject().eval()
    x = torch.randn(2, 3, 8, 8)
    for ask, words in (
        (lambda: gradient(net, x, 7), "no output 7; the network has 3"),
        (lambda: gradient(net, x, [0]), "2 images need as many outputs"),
        (lambda: gradient(net, x[0], 0), r"images are a tensor \[N, C, H, W\]"),
        (lambda: class_map(net, x, 0, "head"), "gives no map"),
        (lambda: class_map(net, x, 0, "lairs"), "unknown module 'lairs'"),
    ):
        with pytest.raises(RequestError, match=words):
            ask()
