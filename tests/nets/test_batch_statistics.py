"""Batch norm's statistics over a whole data set."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate import recalibrate
from striate.errors import RequestError
from striate.nets.build import create


def images(count: int = 30) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 3 + 100


def test_the_statistics_are_those_of_the_whole_set_whatever_the_batches() -> None:
    torch.manual_seed(0)
    net = create("resnet_tiny")
    seen = images()
    recalibrate(net, torch.split(seen, 7))  # the last batch has two images
    conv, norm = net.conv1.conv, net.conv1.norm
    values = conv(seen).double()
    assert torch.allclose(norm.running_mean.double(), values.mean((0, 2, 3)), rtol=1e-5)
    assert torch.allclose(norm.running_var.double(), values.var((0, 2, 3)), rtol=1e-5)
    assert int(norm.num_batches_tracked) == 5


def test_with_one_batch_prediction_is_what_training_computed() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    seen = images()
    recalibrate(net, [seen])
    with torch.no_grad():
        trained = net.train()(seen)
        recalibrate(net, [seen])
        predicted = net.eval()(seen)
    assert torch.allclose(predicted, trained, atol=1e-3)  # running variances are divided by n - 1


def test_a_running_average_forgets_and_one_pass_does_not() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1))
    low, high = torch.zeros(8, 1, 2, 2), torch.full((8, 1, 2, 2), 10.0)
    for batch in (low, high):
        net(batch)
    assert float(net[0].running_mean) == pytest.approx(1.0)  # a tenth of the last batch, and of zero before
    recalibrate(net, [low, high])
    assert float(net[0].running_mean) == pytest.approx(5.0)
    assert float(net[0].running_var) == pytest.approx(25 * 64 / 63)  # between the batches, within which there is none


def test_nothing_else_changes() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(3, momentum=0.03), nn.Dropout(0.5), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    net[3].eval()
    before = {name: value.clone() for name, value in net.named_parameters()}
    drawn = torch.get_rng_state()
    recalibrate(net, torch.split(images(), 10))
    assert torch.equal(torch.get_rng_state(), drawn)  # no dropout
    assert [module.training for module in net] == [True, True, True, False]
    assert net[0].momentum == 0.03 and not net[0]._forward_pre_hooks
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())


def test_what_cannot_be_recalibrated_is_refused() -> None:
    with pytest.raises(RequestError, match="no batch norm to recalibrate"):
        recalibrate(create("lenet5"), [torch.zeros(2, 1, 32, 32)])
    net = nn.Sequential(nn.BatchNorm2d(3))
    with pytest.raises(RequestError, match="no images were given"):
        recalibrate(net, [])
    assert net[0].momentum == 0.1 and net.training
