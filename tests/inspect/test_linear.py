"""Convolutions without an activation, costs of factorised kernels, correlations, and what norms share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from real_data import DATA
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.linear import kernel_costs, merged
from striate.inspect.statistics import channel_clusters, neighbour_correlation, shared_axes, shared_values


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("stride", "second_stride", "bias"), [(1, 1, True), (2, 1, False), (2, 3, True)])
def test_two_convolutions_are_one(stride: int, second_stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(3, 5, 3, stride, bias=bias).double()
    second = nn.Conv2d(5, 4, (5, 2), second_stride, bias=bias).double()
    x = noise(2, 3, 30, 30)
    one = merged(first, second)
    torch.testing.assert_close(one(x), second(first(x)), rtol=0, atol=1e-12)
    assert not torch.allclose(one(x), second(first(x).relu()), atol=1e-2)


def test_padded_with_zeros_they_differ_at_the_border_only() -> None:
    torch.manual_seed(0)
    first, second = (nn.Conv2d(2, 2, 3, padding=1).double() for _ in range(2))
    x = noise(1, 2, 12, 12)
    one = merged(first, second)
    padded = nn.functional.conv2d(x, one.weight, one.bias, padding=2)
    difference = (padded - second(first(x))).detach().abs()
    assert float(difference[..., 1:-1, 1:-1].max()) < 1e-12 < 1e-3 < float(difference.max())
    with pytest.raises(RequestError, match="groups"):
        merged(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3))
    with pytest.raises(RequestError, match="4 channels go into a convolution of 5"):
        merged(nn.Conv2d(4, 4, 3), nn.Conv2d(5, 4, 3))


def test_the_costs_of_kernels() -> None:
    five = {row.form: row for row in kernel_costs(5)}
    assert five["5x5"].weights == 25 and five["2 x 3x3"].weights == 18
    assert round(1 - five["2 x 3x3"].share, 2) == 0.28
    eleven = {row.form: row for row in kernel_costs(11)}
    assert (eleven["4 x 3x3"].weights, eleven["4 x 3x3"].field) == (36, 9)
    assert (eleven["5 x 3x3"].weights, eleven["5 x 3x3"].field) == (45, 11)
    assert [round(1 - eleven[form].share, 2) for form in ("4 x 3x3", "5 x 3x3")] == [0.7, 0.63]
    assert five["1x5 and 5x1"].weights == 10
    assert {row.form: row.share for row in kernel_costs(3)}["1x3 and 3x1"] == pytest.approx(2 / 3)
    with pytest.raises(RequestError, match="odd"):
        kernel_costs(4)


@pytest.mark.parametrize("channels", [8, 64])
def test_the_costs_are_those_of_torch_layers(channels: int) -> None:
    """Twice as wide costs four times as much, and a separable convolution a ninth and one by its channels."""
    rows = {row.form: row.weights for row in kernel_costs(5, channels)}
    stack = nn.Sequential(*(nn.Conv2d(channels, channels, 3, bias=False) for _ in range(2)))
    flat = nn.Sequential(
        nn.Conv2d(channels, channels, (1, 5), bias=False), nn.Conv2d(channels, channels, (5, 1), bias=False)
    )
    separable = nn.Sequential(
        nn.Conv2d(channels, channels, 5, groups=channels, bias=False), nn.Conv2d(channels, channels, 1, bias=False)
    )
    for form, net in (("2 x 3x3", stack), ("1x5 and 5x1", flat), ("5x5 depthwise and 1x1", separable)):
        assert rows[form] == sum(parameter.numel() for parameter in net.parameters()), form
    wide = {row.form: row.weights for row in kernel_costs(5, 2 * channels)}
    assert all(wide[form] == 4 * rows[form] for form in ("5x5", "2 x 3x3", "1x5 and 5x1"))
    assert kernel_costs(3, channels)[-1].share == pytest.approx(1 / channels + 1 / 9)


@pytest.mark.skipif(not (DATA / "cifar10_lossless_5k.npz").is_file(), reason="no ../shared/data (STRIATE_TEST_DATA)")
def test_neighbours_in_photographs_are_alike() -> None:
    with np.load(DATA / "cifar10_lossless_5k.npz") as data:
        images = torch.from_numpy(data["xte"][:100]).permute(0, 3, 1, 2)
    found = neighbour_correlation(images)
    assert found[0] > 0.9 and all(np.diff(found) < 0) and found[-1] < 0.4


def test_noise_has_no_neighbours_and_a_stripe_has() -> None:
    x = noise(20, 1, 24, 24)
    assert np.abs(neighbour_correlation(x)).max() < 0.05
    assert neighbour_correlation(x, (0,))[0] == pytest.approx(1)
    with pytest.raises(RequestError, match="from 0 to 23"):
        neighbour_correlation(x, (24,))


def test_channels_that_go_together_are_found() -> None:
    sources = noise(4, 3, 8, 8)
    maps = torch.cat([sources, 2 * sources[:, [0, 1]] + 1, sources[:, [0]] + 0.1 * noise(4, 1, 8, 8)], 1)
    maps = torch.cat([maps, torch.ones(4, 1, 8, 8)], 1)
    found = channel_clusters(maps)
    assert found.groups == ((0, 3, 5), (1, 4), (2,), (6,))
    assert found.order == [0, 3, 5, 1, 4, 2, 6]
    np.testing.assert_allclose(found.correlation[:6, :6], np.corrcoef(maps[:, :6].transpose(0, 1).flatten(1).numpy()))
    assert np.array_equal(found.correlation[6], np.zeros(7))


NORMS = {
    "batch": (nn.BatchNorm2d(8), (0, 2, 3)),
    "layer": (nn.GroupNorm(1, 8), (1, 2, 3)),
    "instance": (nn.InstanceNorm2d(8), (2, 3)),
    "group": (nn.GroupNorm(2, 8), (1, 2, 3)),
}


@pytest.mark.parametrize("name", NORMS)
def test_the_cube_of_a_norm_has_mean_0_and_deviation_1(name: str) -> None:
    norm, axes = NORMS[name]
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    shape = (4, 8, 5, 5)
    assert shared_axes(norm, shape) == axes
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    seen = np.zeros(shape, int)
    output = norm.train()(3 + 5 * noise(*shape).float()).detach().double().numpy()
    for place in np.ndindex(4, 8):
        shared = shared_values(norm, shape, (*place, 0, 0))
        assert shared[(*place, 0, 0)]
        seen += shared
        assert abs(output[shared].mean()) < 1e-5 and output[shared].std() == pytest.approx(1, abs=1e-3)
    sizes = {"batch": 100, "layer": 200, "instance": 25, "group": 100}
    assert int(shared_values(norm, shape).sum()) == sizes[name]
    assert seen.min() == seen.max() == sizes[name] // 25


def test_layer_norm_of_vectors_shares_the_features_and_batch_norm_the_batch() -> None:
    assert shared_axes(nn.LayerNorm(6), (4, 6)) == (1,)
    assert shared_axes(nn.BatchNorm1d(6), (4, 6)) == (0,)
