"""Gradients by layer, what batch norm does to training, and the surface of the loss."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.gradients import cures, global_head, gradient_norms
from striate.inspect.smoothness import Drift, batch_noise, drift, loss_along_gradient, trial
from striate.inspect.surface import filter_normalised, loss_surface
from striate.nets.build import create


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


X, Y = noise(8, 3, 16, 16), torch.arange(8) % 4


def small(norm: type[nn.Module] | None) -> nn.Module:
    """Four convolutions, with a norm after each or without."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before in (3, 8, 8, 8):
        layers += [nn.Conv2d(before, 8, 3, padding=1)]
        layers += [] if norm is None else [nn.GroupNorm(4, 8) if norm is nn.GroupNorm else norm(8)]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def test_norms_are_those_of_autograd_and_nothing_is_changed() -> None:
    net = small(nn.BatchNorm2d).train()
    before = copy.deepcopy(net.state_dict())
    found = gradient_norms(net, X, Y)
    assert found.layers == ("0", "3", "6", "9", "14") and len(found.norms) == 5
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    logits = net(X).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, Y), logits)
    assert found.norms[-1] == pytest.approx(float(gradient.norm()))
    assert found.ratio == found.norms[0] / found.norms[-1]
    with pytest.raises(RequestError, match="1 layers"):
        gradient_norms(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), X, Y)


def test_an_auxiliary_head_adds_its_gradient() -> None:
    net = small(None)
    plain, aided = gradient_norms(net, X, Y), gradient_norms(net, X, Y, [global_head(8, 4)])
    assert aided.norms[-1] == plain.norms[-1]
    assert aided.norms[0] != plain.norms[0]


def test_gradients_vanish_and_each_cure_helps() -> None:
    found = cures(20, noise(4, 3, 8, 8), torch.arange(4))
    assert found["plain"].ratio < 1e-15
    for name in ("He", "batch norm", "shortcuts", "He and shortcuts", "auxiliary heads"):
        assert found[name].ratio > 1e5 * found["plain"].ratio, name
    assert 0.01 < found["He"].ratio < 100
    assert 0.1 < found["He and shortcuts"].ratio < 100


def test_the_loss_along_the_gradient_starts_with_the_gradients_slope() -> None:
    net = small(nn.BatchNorm2d).double()
    x = X.double()
    losses = loss_along_gradient(net, (x, Y), [0.0, 1e-5])
    loss = F.cross_entropy(net.train()(x), Y)
    slope = sum(float(g.square().sum()) for g in torch.autograd.grad(loss, list(net.parameters())))
    assert losses[0] == pytest.approx(loss.item())
    assert (losses[0] - losses[1]) / 1e-5 == pytest.approx(slope, rel=1e-2)


def test_batch_norm_takes_wide_steps() -> None:
    """Weights three times too large: without norm a step that is fine with it sends the loss up."""
    ends = {}
    for norm in (None, nn.BatchNorm2d):
        net = small(norm)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(3 if parameter.ndim > 1 else 1)
        losses = loss_along_gradient(net, (X, Y), np.linspace(0, 0.5, 6))
        ends[norm] = losses.max() / losses[0]
    assert ends[nn.BatchNorm2d] < 1.5 < ends[None]


def test_drift_is_that_of_the_steps() -> None:
    net = small(None)
    before = copy.deepcopy(net.state_dict())
    found = drift(net, "9", X, [(X, Y)] * 4, lr=0.1)
    assert found.means.shape == found.deviations.shape == (4, 8)
    assert found.moved > 0 and found.changed > 0
    still = drift(net, "9", X, [(X, Y)] * 2, lr=0.0)
    assert still.moved == still.changed == 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_channel_that_awakes_has_not_moved_without_bounds() -> None:
    means, deviations = np.array([[0.0, 1.0], [3.0, 2.0], [3.0, 2.0]]), np.array([[0.0, 1.0], [1.5, 2.0], [1.5, 2.0]])
    found = Drift(means, deviations)
    assert found.moved == pytest.approx((3 / 1.5 + 1 / 2) / 4) and found.changed == pytest.approx(np.log(2) / 3)
    dead = Drift(np.zeros((3, 2)), np.zeros((3, 2)))
    assert dead.moved == dead.changed == 0


def test_the_batchs_noise_is_batch_norms_and_falls_with_its_size() -> None:
    others = noise(40, 3, 16, 16)
    found = {size: batch_noise(small(nn.BatchNorm2d), X[0], others, size) for size in (2, 8, 32)}
    assert found[2] > found[8] > found[32] > 0
    assert batch_noise(small(nn.GroupNorm), X[0], others, 4) < 1e-5
    with pytest.raises(RequestError, match="from 2 to 41"):
        batch_noise(small(nn.BatchNorm2d), X[0], others, 1)


def test_normalised_networks_learn_at_rates_and_scales_at_which_others_do_not() -> None:
    """Four colours under noise, from initial weights a quarter and four times as large."""
    y = torch.arange(96) % 4
    x = noise(96, 3, 8, 8) + noise(4, 3)[y][:, :, None, None]

    def run(norm: type[nn.Module] | None, **given: float) -> float:
        return trial(lambda: small(norm), (x[:64], y[:64]), (x[64:], y[64:]), batch_size=16, steps=40, **given).accuracy  # type: ignore[arg-type]

    assert all(run(nn.BatchNorm2d, lr=0.01, scale=scale) > 0.8 for scale in (0.25, 1.0, 4.0))
    assert all(run(None, lr=0.01, scale=scale) < 0.5 for scale in (0.25, 1.0))
    assert run(nn.BatchNorm2d, lr=0.3) > 0.8 > 0.5 > run(None, lr=0.3)
    assert run(None, lr=0.1) == run(None, lr=0.1)


def test_the_middle_of_the_surface_is_the_networks_loss() -> None:
    net = small(nn.BatchNorm2d).train()
    found = loss_surface(net, X, Y, points=3, reach=0.5)
    assert net.training and found.losses.shape == (3, 3)
    loss = float(F.cross_entropy(net.eval()(X), Y).detach())
    assert found.losses[1, 1] == pytest.approx(loss, rel=1e-5)
    assert np.array_equal(found.losses, loss_surface(net, X, Y, points=3, reach=0.5).losses)
    assert not np.array_equal(found.losses, loss_surface(net, X, Y, points=3, reach=0.5, seed=1).losses)
    line = loss_surface(net, X, Y, points=3, reach=0.5, plane=False)
    assert np.array_equal(line.losses[0], found.losses[1])
    with pytest.raises(RequestError, match="odd"):
        loss_surface(net, X, Y, points=4)


def test_directions_have_the_filters_lengths_and_leave_norms_and_biases_alone() -> None:
    net = create("resnet8")
    found = filter_normalised(net, 0)
    parameters = dict(net.named_parameters())
    assert found.keys() == {name for name, value in parameters.items() if value.ndim > 1}
    for name, direction in found.items():
        own = parameters[name].detach()
        torch.testing.assert_close(direction.flatten(1).norm(dim=1), own.flatten(1).norm(dim=1))
