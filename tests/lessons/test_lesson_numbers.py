"""The numbers of the teaching pages, against torch, NumPy, the catalogue and the lectures' worked examples."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.lessons.contours import contour
from striate.lessons.convolution import convolved, costs, output_size, padded, pooled, stack_cost
from striate.lessons.dropout import mean_output, mean_sigmoid, sigmoid, thinned
from striate.lessons.fields import Layer, fields, layers_of, reach
from striate.lessons.normalisation import (
    AXES,
    NORMS,
    averaged_axes,
    norm_layer,
    shared,
    statistics,
    statistics_shape,
)
from striate.lessons.optimizers import LECTURES, PYTORCH, RULES, SURFACES, Form, losses, path
from striate.lessons.paths import all_paths, expanded, length_shares, output, share_between
from striate.lessons.scaling import counts, factors, scaled_stages
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.efficientnet import ROWS, SCALE_ROWS
from striate.training.textbook_optimizers import AdamUncorrected, ClassicalMomentum, RMSpropInside, ShiftedNesterov

INNER = [[1, 4, 2, 3], [6, 1, 1, 7], [1, 2, 1, 4], [1, 5, 1, 2]]
MAP = [[1, 0, 2, 3], [4, 6, 6, 8], [3, 1, 1, 0], [1, 2, 2, 4]]


# The second and the third row of the lectures' matrices, which tell the modes apart.
@pytest.mark.parametrize(
    ("mode", "second", "third"),
    [
        ("zeros", [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 4, 2, 3, 0, 0]),
        ("replicate", [1, 1, 1, 4, 2, 3, 3, 3], [1, 1, 1, 4, 2, 3, 3, 3]),
        ("symmetric", [4, 1, 1, 4, 2, 3, 3, 2], [4, 1, 1, 4, 2, 3, 3, 2]),
        ("circular", [1, 2, 1, 5, 1, 2, 1, 5], [2, 3, 1, 4, 2, 3, 1, 4]),
        ("reflect", [1, 1, 6, 1, 1, 7, 1, 1], [2, 4, 1, 4, 2, 3, 2, 4]),
    ],
)
def test_the_lectures_padded_matrices(mode: str, second: list[int], third: list[int]) -> None:
    wide = padded(INNER, 2, mode)  # type: ignore[arg-type]
    assert wide.shape == (8, 8) and wide[2:6, 2:6].tolist() == INNER
    assert wide[1].tolist() == second and wide[2].tolist() == third
    if mode in ("zeros", "replicate", "reflect", "circular"):
        word = {"zeros": "constant", "circular": "circular"}.get(mode, mode)
        assert F.pad(torch.tensor([[INNER]]).double(), (2,) * 4, mode=word)[0, 0].tolist() == wide.tolist()


def test_what_cannot_be_padded_is_refused() -> None:
    with pytest.raises(RequestError, match="unknown padding mode 'mirror'"):
        padded(INNER, 1, "mirror")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="reflect padding of this matrix must be 0 to 3, not 4"):
        padded(INNER, 4, "reflect")
    with pytest.raises(RequestError, match="7 x 7 does not fit into 6 x 6"):
        convolved(np.zeros((6, 6)), np.zeros((4, 4)), dilation=2)


def test_the_lectures_pooled_matrices() -> None:
    assert pooled(MAP, 2, stride=2, kind="max").tolist() == [[6, 8], [3, 4]]
    assert pooled(MAP, 2, stride=2, kind="mean").tolist() == [[2.75, 4.75], [1.75, 1.75]]
    # Each map by itself: pooling two maps is pooling each.
    both = torch.tensor([[MAP, INNER]]).double()
    assert [F.max_pool2d(both, 2)[0, place].tolist() for place in (0, 1)] == [
        pooled(each, 2, stride=2).tolist() for each in (MAP, INNER)
    ]


def test_a_convolution_is_torchs_cross_correlation() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(-3, 9, (6, 6))
    for side, stride, padding, dilation in ((3, 1, 1, 1), (2, 2, 0, 1), (3, 1, 2, 2), (5, 3, 3, 1), (1, 1, 0, 1)):
        kernel = generator.integers(-3, 4, (side, side))
        given, weight = (torch.tensor(each).double()[None, None] for each in (image, kernel))
        expected = F.conv2d(given, weight, stride=stride, padding=padding, dilation=dilation)[0, 0]
        found = convolved(image, kernel, stride=stride, padding=padding, dilation=dilation)
        assert np.array_equal(found, expected.numpy())
        assert output_size(6, side, stride=stride, padding=padding, dilation=dilation) == len(found)
    assert output_size(6, 5, dilation=2) == 0


def test_one_filter_gives_one_map_and_six_give_six() -> None:
    image = torch.zeros(1, 3, 32, 32)
    for filters in (1, 2, 6):
        assert nn.Conv2d(3, filters, 5)(image).shape == (1, filters, output_size(32, 5), 28)
    assert output_size(output_size(32, 5), 5) == 24


def test_what_smaller_kernels_save() -> None:
    two, four, five = stack_cost(5, 2), stack_cost(11, 4), stack_cost(11, 5)
    assert (two.weights, round(two.saved), two.field) == (18, 28, 5)
    assert (four.weights, round(four.saved), four.field) == (36, 70, 9)
    assert (five.weights, round(five.saved), five.field) == (45, 63, 11)
    one, wide = costs(5, 16), costs(5, 32)
    assert [cost.weights for cost in one] == [
        sum(weight.numel() for weight in nn.Sequential(*layers).parameters())
        for layers in (
            [nn.Conv2d(16, 16, 5, bias=False)],
            [nn.Conv2d(16, 16, 3, bias=False), nn.Conv2d(16, 16, 3, bias=False)],
            [nn.Conv2d(16, 16, (5, 1), bias=False), nn.Conv2d(16, 16, (1, 5), bias=False)],
            [nn.Conv2d(16, 16, 5, groups=16, bias=False), nn.Conv2d(16, 16, 1, bias=False)],
            [nn.Conv2d(16, 16, 1, bias=False)],
        )
    ]
    assert [wide[place].weights / one[place].weights for place in (0, 1, 2, 4)] == [4, 4, 4, 4]
    with pytest.raises(RequestError, match="odd and at least 3, not 4"):
        costs(4)


def torch_path(make: object, surface: str, rates: list[float]) -> list[tuple[float, float]]:
    """The points of a torch optimizer on a surface, in float64, its gradients by hand-written formulas."""
    point = torch.tensor(SURFACES[surface].start, dtype=torch.float64, requires_grad=True)
    optimizer: torch.optim.Optimizer = make([point])  # type: ignore[operator]
    found = [SURFACES[surface].start]
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        point.grad = torch.tensor(SURFACES[surface].gradient(*point.tolist()), dtype=torch.float64)
        optimizer.step()
        found.append(tuple(point.tolist()))
    return found


def apart(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> float:
    return max(math.dist(a, b) for a, b in zip(first, second, strict=True))


TORCH = {
    "sgd": lambda points: torch.optim.SGD(points, lr=1),
    "momentum": lambda points: torch.optim.SGD(points, lr=1, momentum=0.95),
    "nesterov": lambda points: torch.optim.SGD(points, lr=1, momentum=0.95, nesterov=True),
    "adagrad": lambda points: torch.optim.Adagrad(points, lr=1, eps=1e-8),
    "rmsprop": lambda points: torch.optim.RMSprop(points, lr=1, alpha=0.99, eps=1e-8),
    "adam": lambda points: torch.optim.Adam(points, lr=1, betas=(0.9, 0.999), eps=1e-8),
}
TEXTBOOK = {
    "momentum": lambda points: ClassicalMomentum(points, lr=1, momentum=0.95),
    "nesterov": lambda points: ShiftedNesterov(points, lr=1, momentum=0.95),
    "rmsprop": lambda points: RMSpropInside(points, lr=1),
    "adam": lambda points: AdamUncorrected(points, lr=1),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_the_formulas_are_those_of_torch_and_of_the_textbook_optimizers(surface: str) -> None:
    for place, rule in enumerate(RULES):
        first = SURFACES[surface].rates[place > 2]
        rates = [first] * 30 + [first / 2] * 30  # a rate that changes tells where it stands in the formula
        assert apart(path(rule, surface, rates, PYTORCH), torch_path(TORCH[rule], surface, rates)) < 1e-6
        if rule in TEXTBOOK:
            assert apart(path(rule, surface, rates, LECTURES), torch_path(TEXTBOOK[rule], surface, rates)) < 1e-6


def test_where_the_two_forms_agree_and_where_not() -> None:
    def between(rule: str, rates: list[float], form: Form = LECTURES) -> float:
        return apart(path(rule, "ravine", rates, form), path(rule, "ravine", rates, PYTORCH))  # type: ignore[arg-type]

    steady, halved = [0.01] * 100, [0.01] * 50 + [0.005] * 50
    for rule in ("sgd", "momentum", "nesterov"):
        assert between(rule, steady) < 1e-6
    assert between("sgd", halved) < 1e-6
    assert between("momentum", halved) > 0.01 and between("nesterov", halved) > 0.001
    assert 0 < between("rmsprop", steady) < 1e-6  # epsilon is small beside the gradient
    assert between("rmsprop", steady, Form(epsilon=0.1)) > 0.01
    assert between("adam", steady) > 0.1  # no correction of the bias
    assert between("adam", steady, Form(bias_corrected=True)) < 1e-6


@pytest.mark.parametrize("surface", SURFACES)
def test_the_gradients_are_those_of_the_surfaces(surface: str) -> None:
    x, y = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.7, -0.4))
    value: Tensor = SURFACES[surface].value(x, y)  # type: ignore[arg-type,assignment]
    assert torch.autograd.grad(value, (x, y)) == pytest.approx(SURFACES[surface].gradient(0.7, -0.4), abs=1e-12)
    points = path("adam", surface, [0.05] * 200, PYTORCH)
    assert losses(surface, points)[-1] < losses(surface, points)[0] / 4


def test_an_ill_conditioned_ravine_holds_gradient_descent_back() -> None:
    ravine = SURFACES["ravine"]
    assert abs(ravine.gradient(1, 1)[1] / ravine.gradient(1, 1)[0]) == 25
    # Above 2 / 25 the steep direction diverges; at a rate that it bears, the flat one crawls, and momentum does not.
    assert len(path("sgd", "ravine", [0.1] * 200)) < 200
    ends = [losses("ravine", path(rule, "ravine", [0.01] * 100))[-1] for rule in ("sgd", "momentum", "nesterov")]
    assert ends[0] > 10 * ends[2] and ends[0] > 10 * ends[1]


def test_nesterov_has_less_of_the_velocity_and_more_of_the_gradient() -> None:
    a, rate, surface = LECTURES.momentum, 0.01, SURFACES["beale"]
    points = path("nesterov", "beale", [rate / 5] * 20)
    velocity = (0.0, 0.0)
    for before, after in pairwise(points):
        slopes = surface.gradient(*before)
        expected = [p + a * a * v - rate / 5 * (1 + a) * g for p, v, g in zip(before, velocity, slopes, strict=True)]
        assert after == pytest.approx(expected, abs=1e-12)
        velocity = tuple(a * v - rate / 5 * g for v, g in zip(velocity, slopes, strict=True))  # type: ignore[assignment]


def test_unknown_rules_and_surfaces_are_refused() -> None:
    with pytest.raises(RequestError, match="unknown optimizer 'adan'; did you mean"):
        path("adan", "ravine", [0.1])  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="unknown surface"):
        path("adam", "plain", [0.1])


def test_contours_lie_on_their_level() -> None:
    segments = contour(lambda x, y: x * x + y * y, (-2, 2), (-2, 2), 1.0)
    assert len(segments) > 40
    assert all(abs(math.hypot(*point) - 1) < 0.02 for segment in segments for point in segment)
    # A saddle's corners: two lines through one square.
    assert len(contour(lambda x, y: x * y, (-1, 1), (-1, 1), 1e-9, cells=1)) == 2


def test_the_products_and_counts_of_compound_scaling() -> None:
    assert round(factors(1).cost, 3) == 1.920
    assert factors(3).cost == pytest.approx(factors(1).cost ** 3)
    for scale in SCALE_ROWS:
        known = entry(f"efficientnet_{scale.net}")
        assert counts(scale.width, scale.depth, scale.resolution) == (known.parameters, known.madds)
    layers = [stage.layers for stage in scaled_stages(1.1, 1.2)]
    assert layers == [1, 2, 3, 3, 4, 4, 5, 2, 1] and len(layers) == len(ROWS)
    with pytest.raises(RequestError, match="at least 1"):
        factors(1, alpha=0.9)


def test_fields_of_a_chain() -> None:
    with torch.device("meta"):
        vgg, branched = create("vgg19"), create("googlenet")
    found = {one.name: one.field for one in fields(layers_of(vgg, (224, 224)), 224)}
    names = ("stage1.conv2", "stage3.conv3", "stage4.conv3", "stage5.conv3", "stage5.maxpool")
    assert [found[name] for name in names] == [5, 40, 100, 220, 268]
    with pytest.raises(RequestError, match="the window of c does not fit into 4 pixels"):
        fields([Layer("c", 5)], 4)
    with pytest.raises(RequestError, match="branches"):
        layers_of(branched, (224, 224))


def test_what_a_place_sees_is_what_its_gradient_reaches() -> None:
    layers = [Layer("a", 3, 2, 1), Layer("b", 3, 1, 2, 2), Layer("c", 2, 2)]
    net = nn.Sequential(*(nn.Conv2d(1, 1, *layer[1:], bias=False) for layer in layers)).double()
    x = torch.zeros(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
    out = net(x)
    assert [one.output for one in fields(layers, 40)][-1] == out.shape[-1]
    out[0, 0, 5, 5].backward()
    assert x.grad is not None
    reached = x.grad[0, 0].abs().sum(1).nonzero().flatten().tolist()
    low, high = reach(layers, 5)[0]
    assert (reached[0], reached[-1]) == (low, high)
    last = fields(layers, 40)[-1]
    assert (low, high - low + 1) == (last.first + 5 * last.jump, last.field)


SHAPE = (4, 6, 2, 3)


@pytest.mark.parametrize("norm", NORMS)
def test_the_cubes_are_those_that_the_layers_normalise(norm: str) -> None:
    expected = {
        "batch": (("N", "H", "W"), (1, 6, 1, 1)),
        "layer": (("C", "H", "W"), (4, 1, 1, 1)),
        "instance": (("H", "W"), (4, 6, 1, 1)),
        "group": (("C", "H", "W"), (4, 2, 1, 1)),
    }
    assert (averaged_axes(norm, SHAPE), statistics_shape(norm, SHAPE)) == expected[norm]  # type: ignore[arg-type]
    x = torch.randn(*SHAPE, dtype=torch.float64) * 3 + 1
    y = norm_layer(norm, SHAPE[1:])(x).detach()  # type: ignore[arg-type]
    axes = [AXES.index(axis) for axis in averaged_axes(norm, SHAPE)]  # type: ignore[arg-type]
    for image, channel in ((0, 0), (3, 5), (2, 2)):
        together = shared(norm, image, channel, SHAPE)  # type: ignore[arg-type]
        entries = y.numpy()[together]
        assert abs(entries.mean()) < 1e-9 and abs(entries.std() - 1) < 1e-6
        found = statistics(norm, x.numpy(), image, channel)  # type: ignore[arg-type]
        assert found.entries == together.sum()
        mean, deviation = found.mean, found.deviation
        assert float(y[image, channel, 1, 2]) == pytest.approx((float(x[image, channel, 1, 2]) - mean) / deviation)
    if norm != "group":
        assert y.mean(axes).abs().max() < 1e-9 and (y.std(axes, correction=0) - 1).abs().max() < 1e-6


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(RequestError, match="must divide the 6 channels, not be 4"):
        shared("group", 0, 0, SHAPE, 4)
    with pytest.raises(RequestError, match="unknown normalisation 'batc'; did you mean 'batch'"):
        norm_layer("batc", SHAPE[1:])  # type: ignore[arg-type]


def test_dropout_is_a_mean_over_networks_that_share_weights() -> None:
    units, weights, p = [1.0, 0.5, 2.0, 1.5], [0.8, -1.2, 0.5, 0.6], 0.3
    networks = thinned(units, weights, p)
    whole = float(np.dot(units, weights))
    assert len(networks) == 16 and sum(one.probability for one in networks) == pytest.approx(1)
    assert networks[0].kept == (1, 2, 3, 4) and networks[0].output == pytest.approx(whole / 0.7)
    assert mean_output(networks) == pytest.approx(whole, abs=1e-12)
    assert abs(mean_sigmoid(networks) - sigmoid(whole)) > 0.01
    # What torch's dropout gives in training is the output of one of them.
    listed = {one.kept: one.output for one in networks}
    layer, x = nn.Dropout(p).train(), torch.tensor(units)
    torch.manual_seed(0)
    for _ in range(10):
        dropped = layer(x)
        kept = tuple(number for number, value in enumerate(dropped.tolist(), 1) if value)
        assert listed[kept] == pytest.approx(float(dropped @ torch.tensor(weights)), abs=1e-5)
    for bad in ((units, weights, 1.0), (units, weights[:3], 0.5), ([], [], 0.5)):
        with pytest.raises(RequestError):
            thinned(*bad)


def test_paths_add_up_to_the_output() -> None:
    matrices = [torch.tensor([[factor]], dtype=torch.float64) for factor in (0.5, -0.2, 0.3, 0.1)]
    y = torch.ones(1, 1, dtype=torch.float64)
    for matrix in matrices:
        y = y + y @ matrix
    found = all_paths(1.0, [0.5, -0.2, 0.3, 0.1])
    assert len(found) == 16 and sum(path.value for path in found) == pytest.approx(float(y), abs=1e-12)
    assert output(1.0, [0.5, -0.2, 0.3, 0.1]) == pytest.approx(float(y), abs=1e-12)
    assert [path.blocks for path in all_paths(1.0, [1, 1])] == [(), (1,), (2,), (1, 2)]
    # Without block 2 the paths that do not go through it are left, as they were.
    kept = sum(path.value for path in found if 2 not in path.blocks)
    assert kept == pytest.approx(output(1.0, [0.5, 0, 0.3, 0.1]))
    names = {f"f{number}": (lambda y, w=w: w * y) for number, w in enumerate((0.5, -0.2, 0.3), 1)}
    assert eval(expanded(3).partition(" = ")[2], {"y0": 1.0, **names}) == pytest.approx(output(1.0, [0.5, -0.2, 0.3]))


def test_lengths_of_paths_are_binomial() -> None:
    assert round(100 * share_between(54, 5, 17), 4) == 0.4537
    assert sum(length_shares(54)) == pytest.approx(1) and length_shares(3) == [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    with pytest.raises(RequestError, match="0 to 54 in order, not 9 to 5"):
        share_between(54, 9, 5)
