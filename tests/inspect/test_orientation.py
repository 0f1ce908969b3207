"""The preferred gratings of filters, and the responses of layers, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_filters import gabor

from striate.errors import RequestError
from striate.inspect.orientation import ANGLES, preferences
from striate.inspect.responses import layer_responses
from striate.layers.modes import in_evaluation
from striate.nets.build import create


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 135])
def test_a_gabor_filter_prefers_its_own_angle_and_frequency(angle: int) -> None:
    found = preferences(gabor(angle)[None, None])
    assert abs((found.angle[0] - angle + 90) % 180 - 90) <= 180 / ANGLES
    assert found.frequency[0] == pytest.approx(1 / 5, abs=0.04) and found.selectivity[0] > 0.5
    assert found.tuning[0, 0] == 1 and found.tuning[0, ANGLES // 2] < 0.1


def test_a_round_filter_prefers_no_angle_and_random_ones_few() -> None:
    rows, columns = torch.meshgrid(*(torch.arange(7.0) - 3,) * 2, indexing="ij")
    blob = torch.exp(-(rows**2 + columns**2) / 4)
    assert preferences(blob[None, None]).selectivity[0] < 0.05
    noise = torch.randn(200, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    assert preferences(noise).selectivity.mean() < 0.3
    with pytest.raises(RequestError, match=r"several pixels have a preferred angle, not \[3, 3, 1, 1\]"):
        preferences(torch.zeros(3, 3, 1, 1))


def test_responses_are_those_of_normalisations_beside_no_shortcut() -> None:
    torch.manual_seed(0)
    net, images = create("resnet20", options={"shortcut": "B"}).train(), torch.randn(8, 3, 32, 32)
    net(images)  # so that the running statistics differ
    found = layer_responses(net, images)
    assert len(found) == 19 and not any("shortcut" in name for name in found)
    first: list[torch.Tensor] = []
    norm = net.get_submodule(next(iter(found)))
    with in_evaluation(net), torch.no_grad():
        handle = norm.register_forward_hook(lambda module, x, y: first.append(F.batch_norm(
            x[0], module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps
        )))  # fmt: skip
        net(images)
        handle.remove()
    assert next(iter(found.values())) == pytest.approx(float(first[0].std()), rel=1e-4)
    with pytest.raises(RequestError, match="no batch normalisation"):
        layer_responses(create("lenet5_plain"), torch.zeros(1, 1, 32, 32))
