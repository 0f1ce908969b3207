"""BN-Inception against Figure 5 of its paper, the ports' counts, and what the ports do on odd maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from striate.anatomy.summary import describe, parameters
from striate.nets.bn_inception import ROWS, Inception, stages
from striate.nets.build import create

# As printed, these contradict the widths beside them, or are the size of the module's input.
MISPRINTED = {
    "inception3c": (576, 14, 14),
    "inception4c": (608, 14, 14),
    "inception4d": (608, 14, 14),
    "inception4e": (1056, 7, 7),
}


def test_every_stage_has_the_papers_size() -> None:
    counted = {row.name: row.output for row in describe("bn_inception")}
    for row in ROWS[:-1]:
        height, width, channels = row.output
        printed = (channels, height, width)
        assert counted[row.stage] == MISPRINTED.get(row.stage, printed)
        assert (counted[row.stage] != printed) == (row.stage in MISPRINTED)


def test_the_ports_have_a_bias_more_for_each_channel() -> None:
    with torch.device("meta"):
        net = create("bn_inception")
    convolutions = [one for one in net.modules() if isinstance(one, nn.Conv2d)]
    assert all(one.bias is None for one in convolutions)
    assert parameters(net) + sum(one.out_channels for one in convolutions) == 11_295_240
    norms = [one for one in net.modules() if isinstance(one, nn.BatchNorm2d)]
    assert [one.num_features for one in norms] == [one.out_channels for one in convolutions]
    assert {one.eps for one in norms} == {1e-5}


def test_the_5x5_is_two_3x3_and_stride_has_neither_1x1_nor_projection() -> None:
    made = {
        stage.name: Inception(8, stage.widths, stride=stage.stride, pool=stage.pool)
        for stage in stages()
        if stage.type == "inception"
    }
    assert [one.kernel_size[0] for one in made["inception3a"]["double3x3"].modules() if isinstance(one, nn.Conv2d)] == [
        1,
        3,
        3,
    ]
    for name, block in made.items():
        halved = name in ("inception3c", "inception4e")
        assert list(block) == (["3x3", "double3x3", "pool"] if halved else ["1x1", "3x3", "double3x3", "pool"])
        assert any(isinstance(one, nn.Conv2d) for one in block["pool"].modules()) != halved
        averages = any(isinstance(one, nn.AvgPool2d) for one in block.modules())
        assert averages == (name not in ("inception3c", "inception4e", "inception5b"))


def test_a_map_is_halved_as_by_pooling_that_rounds_up_and_an_odd_one_to_its_larger_half() -> None:
    stage = next(stage for stage in stages() if stage.name == "inception3c")
    block = Inception(4, stage.widths, stride=2, pool="max").eval()
    even, odd = -torch.rand(1, 4, 28, 14), -torch.rand(1, 4, 7, 9)
    assert torch.equal(block["pool"](even), F.max_pool2d(even, 3, 2, ceil_mode=True))
    assert block(odd).shape[2:] == (4, 5)
    assert torch.equal(block["pool"](odd)[..., :3, :4], F.max_pool2d(odd, 3, 2))
    assert torch.equal(block["pool"](odd)[..., 3, 4], odd[..., 6, 8])
