"""What units answer to: filters, patches, bars of light; and what a shift of the image does to a map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.fields import alone, box_by_gradient, box_of, equivariance_error, exciting_patches, field_of
from striate.inspect.filters import filter_norms, filter_tiles, first_convolution, fourier_angle
from striate.inspect.tuning import answers_by_place, bar, tuning
from striate.inspect.watching import watched
from striate.layers.modes import in_evaluation
from striate.nets.build import create


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def gabor(angle: float, size: int = 11, period: float = 5.0) -> Tensor:
    """A filter for a bar at this angle."""
    rows, columns = np.mgrid[:size, :size] - size // 2
    turned = np.radians(angle)
    beside = columns * np.sin(turned) + rows * np.cos(turned)
    values = np.cos(2 * np.pi * beside / period) * np.exp(-(rows**2 + columns**2) / 12)
    return torch.from_numpy(values - values.mean()).float()


def test_the_96_filters_of_alexnet_on_one_scale() -> None:
    net = create("alexnet")
    name, first = first_convolution(net, noise(1, 3, 8, 8))
    weight = first.weight.detach()
    tiles = filter_tiles(weight)
    assert tiles.shape == (96, 11, 11, 3) and tiles.dtype == np.uint8
    largest = int(weight.abs().flatten(1).max(1).values.argmax())
    assert max(tiles[largest].max() - 128, 128 - int(tiles[largest].min())) == 127
    back = (tiles.astype(float) - 128) / 127 * float(weight.abs().max())
    assert np.abs(back - weight.permute(0, 2, 3, 1).numpy()).max() < float(weight.abs().max()) / 250
    norms = filter_norms(net)
    assert next(iter(norms)) == name and len(norms) == 5
    assert norms[name][3] == pytest.approx(float(weight[3].norm()))


def test_later_filters_are_not_shown() -> None:
    with pytest.raises(RequestError, match="1 or 3 channels"):
        filter_tiles(noise(4, 16, 3, 3))
    with pytest.raises(RequestError, match="no convolution"):
        first_convolution(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), noise(1, 3, 1, 1))


def test_an_interior_patch_alone_excites_as_much() -> None:
    net = create("resnet20").eval()
    images = noise(6, 3, 32, 32)
    for layer in ("stem", "stage1.0"):
        field = field_of(net, layer, (3, 32, 32))
        inside = 0
        with in_evaluation(net), watched(net, [layer]) as outputs, torch.no_grad():
            net(images)
            maps = outputs[layer]
        for unit, patches in zip((0, 5), exciting_patches(net, layer, images, [0, 5], top=4), strict=True):
            assert [p.activation for p in patches] == sorted((p.activation for p in patches), reverse=True)
            for patch in patches:
                assert patch.inside == (box_of(field, patch.position) == patch.box)
                with in_evaluation(net), watched(net, [layer]) as outputs, torch.no_grad():
                    net(alone(images[patch.image], patch.box)[None])
                    cut = outputs[layer][0, unit]
                whole, (row, column) = maps[patch.image, unit], patch.position
                assert float(whole[row, column]) == pytest.approx(patch.activation) == float(whole.max())
                if patch.inside:
                    inside += 1
                    assert abs(float(cut[row, column]) - patch.activation) < 1e-4
        assert inside
    with pytest.raises(RequestError, match="units 0 to 15, not 16"):
        exciting_patches(net, "stem", images, [16])


def test_neighbouring_units_see_neighbouring_regions() -> None:
    """Fields by arithmetic and by gradient: those of neighbours are a stride apart, and grow with the layers."""
    net = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1))
    x = noise(1, 3, 48, 48)
    sizes = []
    for layer, jump in (("0", 2), ("1", 2), ("2", 4)):
        field = field_of(net, layer, (3, 48, 48))
        here, beside = (box_by_gradient(net, layer, x, (5, column)) for column in (5, 6))
        assert here == box_of(field, (5, 5)) and beside == box_of(field, (5, 6))
        assert (beside.left - here.left, beside.top - here.top) == (jump, 0)
        sizes.append(here.right - here.left)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_what_a_shift_does() -> None:
    x = noise(2, 3, 24, 24)
    torch.manual_seed(0)
    layers = {
        name: nn.Conv2d(3, 4, 3, stride, 1, padding_mode=mode)
        for name, stride, mode in (("circular", 1, "circular"), ("zeros", 1, "zeros"), ("stride", 2, "circular"))
    }
    assert equivariance_error(layers["circular"], x, 3) < 1e-6
    assert equivariance_error(layers["zeros"], x, 3) > 0.05
    assert equivariance_error(layers["stride"], x, 2) < 1e-6
    assert equivariance_error(layers["stride"], x, 3) > 0.5


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 140])
def test_the_preferred_angle_is_that_of_the_filters_spectrum(angle: int) -> None:
    kernel = gabor(angle)[None].expand(3, -1, -1)
    found = tuning(lambda x: F.conv2d(x, kernel[None]).relu()[:, 0, 5, 5], (21, 21))
    for other in (float(angle), found.preferred):
        assert min(abs(fourier_angle(kernel) - other) % 180, -abs(fourier_angle(kernel) - other) % 180) <= 10
    assert found.direction_index == 0
    assert np.array_equal(found.forward, found.backward)


def test_there_is_no_answer_off_the_field() -> None:
    """A unit that sees the 11 x 11 pixels in a corner of the image answers to bars there only."""
    kernel = gabor(0)[None, None]
    places = answers_by_place(lambda x: F.conv2d(x, kernel)[:, 0, 0, 0], (24, 24), 0.0, channels=1)
    assert np.abs(places[:11, :11]).max() > 0.5
    assert np.abs(places[14:]).max() == np.abs(places[:, 15:]).max() == 0


def test_a_bar_is_where_it_is_said_to_be() -> None:
    upright = bar((9, 9), 90, (4, 4), width=1)
    np.testing.assert_allclose(upright, bar((9, 9), 0, (4, 4), width=1).T, atol=1e-6)
    assert np.array_equal(upright[:, 4], np.ones(9)) and upright[:, :3].max() == 0
    rising = bar((9, 9), 45, (4, 4), width=1)
    assert rising[0, 8] == pytest.approx(1) and rising[8, 0] == pytest.approx(1) and rising[0, 0] == 0
    with pytest.raises(RequestError, match="at least one angle"):
        tuning(lambda x: x[:, 0, 0, 0], (9, 9), angles=[])


def test_a_network_of_two_frames_learns_direction() -> None:
    """Trained to tell bars that move right from those that move left: its units answer to one direction."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 7), nn.ReLU())
    head = nn.Linear(4, 2)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 0.02)
    frames = torch.from_numpy(np.stack([bar((13, 13), 90, (6, column)) for column in range(13)]))
    films = torch.cat([torch.stack([frames[:-1], frames[1:]], 1), torch.stack([frames[1:], frames[:-1]], 1)])
    ways = torch.tensor([0] * 12 + [1] * 12)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(net(films).amax((2, 3))), ways)
        loss.backward()
        optimizer.step()
    indices = []
    for unit in range(4):
        found = tuning(lambda x, unit=unit: net(x)[:, unit, 3, 3], (13, 13), channels=1, frames=2, angles=(90,))
        indices.append(found.direction_index)
    assert max(indices) > 0.3
