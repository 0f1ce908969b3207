"""MobileNet, first and second, against the tables of their papers."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.anatomy.summary import describe, madds
from striate.errors import RequestError
from striate.nets import mobilenet_v1, mobilenet_v2
from striate.nets.base import Net
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.mobilenet_v1 import conv_maker
from striate.nets.mobilenet_v2 import InvertedResidual, round_channels

# Counted from independent builds; written out, so that facts.json and the code cannot drift together.
KNOWN = {
    "mobilenet_v1": (4_231_976, 568_740_352),
    "mobilenet_v1_075": (2_585_560, 325_400_448),
    "mobilenet_v1_050": (1_331_592, 149_497_088),
    "mobilenet_v1_025": (470_072, 41_030_272),
    "mobilenet_v1_shallow": (2_887_976, 307_323_392),
    "mobilenet_v1_full": (29_294_088, 4_867_293_184),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "mobilenet_v2_140": (6_108_776, 582_195_824),
    "mobilenet_v2_075": (2_636_424, 209_069_792),
    "mobilenet_v2_050": (1_968_680, 97_131_840),
    "mobilenet_v2_035": (1_677_128, 59_285_808),
    "efficientnet_b0": (5_288_548, 385_814_752),
    "efficientnet_b1": (7_794_184, 686_802_832),
    "efficientnet_b2": (9_109_994, 993_561_872),
    "efficientnet_b3": (12_233_232, 1_827_141_392),
    "efficientnet_b4": (19_341_616, 4_393_771_024),
    "efficientnet_b5": (30_389_784, 10_266_384_752),
    "efficientnet_b6": (43_040_704, 19_067_593_536),
    "efficientnet_b7": (66_347_960, 37_745_884_192),
    "se_resnet50": (28_088_024, 3_860_488_192),
    "se_resnet101": (49_326_872, 7_574_937_600),
    "se_resnet152": (66_821_848, 11_288_993_792),
    "se_bn_inception": (11_931_622, 2_033_239_424),
}

CONV = conv_maker("same", 1e-3, nn.ReLU6)  # as the authors' code


@pytest.mark.parametrize("name", KNOWN)
def test_counts_are_those_of_independent_builds(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


def on_meta(name: str) -> Net:
    with torch.device("meta"):
        return create(name)


def test_one_stride_of_the_first_table_contradicts_its_sizes() -> None:
    rows = mobilenet_v1.ROWS
    contradicting = [
        number
        for number, (row, below) in enumerate(zip(rows, (*rows[1:], rows[-1]), strict=True))
        if row.stride != row.input.height // below.input.height
    ]
    assert contradicting == [len(rows) - 2]
    assert rows[-2].type == "conv_dw"
    assert rows[-2].input == (7, 7, 1024)
    for row, below in itertools.pairwise(rows):
        assert below.input.channels == row.filter.channels


def test_the_first_nets_stages_are_the_tables() -> None:
    stem, *stages, head = describe("mobilenet_v1")
    assert stem.output == (32, 112, 112)
    assert [stage.output for stage in stages] == [
        (64, 112, 112),
        (128, 56, 56),
        (128, 56, 56),
        (256, 28, 28),
        (256, 28, 28),
        (512, 14, 14),
        (512, 14, 14),
        (1024, 7, 7),
        (1024, 7, 7),
    ]
    assert head.output == (1000,)
    five = on_meta("mobilenet_v1").get_submodule("stage7")
    assert isinstance(five, nn.Sequential)
    assert len(five) == 5


def test_a_separable_convolution_costs_a_ninth_and_one_by_its_channels() -> None:
    """Equation 5 of the paper, 1 / N + 1 / 9, for every stage of the net and of the one with full convolutions."""
    for separable, full in zip(describe("mobilenet_v1")[1:-1], describe("mobilenet_v1_full")[1:-1], strict=True):
        assert separable.output == full.output
        n = separable.output[0]
        assert separable.madds * 9 * n == full.madds * (9 + n)


@pytest.mark.parametrize(("side", "counted"), [(192, 418_121_728), (160, 290_675_200), (128, 186_400_768)])
def test_the_resolution_multiplier_is_the_size_of_the_image(side: int, counted: int) -> None:
    net = on_meta("mobilenet_v1")
    assert madds(net, (side, side)) == counted


def test_weights_start_cut_off_at_two_deviations() -> None:
    torch.manual_seed(0)
    for name in ("mobilenet_v1_tiny", "mobilenet_v2_tiny"):
        weights = torch.cat([p.flatten() for key, p in create(name).named_parameters() if "norm" not in key])
        assert weights.abs().max() <= 0.18
        # What is left of a deviation of 0.09 when the tails beyond 0.18 are cut off; biases are a handful of zeros.
        assert weights.std().item() == pytest.approx(0.88 * 0.09, rel=0.03)


def test_the_second_nets_stages_are_the_tables() -> None:
    stages = describe("mobilenet_v2")[:-1]
    inputs = [(stage.output[1], stage.output[2], stage.output[0]) for stage in stages]
    assert [(224, 224, 3), *inputs[:-1]] == [row.input for row in mobilenet_v2.ROWS]
    assert stages[-1].output == (1280, 7, 7)
    blocks = [module for module in on_meta("mobilenet_v2").modules() if isinstance(module, InvertedResidual)]
    assert len(blocks) == sum(row.n for row in mobilenet_v2.ROWS[1:-1]) == 17
    assert [block.residual for block in blocks].count(True) == 10
    assert not any(hasattr(block.project, "act") for block in blocks)


def test_channels_are_rounded_to_eight_but_by_no_more_than_a_tenth_down() -> None:
    assert [round_channels(c) for c in (3, 11.2, 33.6, 22.4, 134.4, 1792, 28, 27.9)] == [
        8, 16, 32, 24, 136, 1792, 32, 32,
    ]  # fmt: skip
    assert on_meta("mobilenet_v2_140").embedding_size == 1792
    assert on_meta("mobilenet_v2_035").embedding_size == 1280


def test_the_inverted_residual_widens_filters_narrows_and_adds() -> None:
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, expansion=3, conv=CONV).eval()
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    state = block.state_dict()

    def step(x: torch.Tensor, part: str, groups: int = 1) -> torch.Tensor:
        kernel = state[f"{part}.conv.weight"]
        y = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=groups)
        norm = [state[f"{part}.norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(y, *norm, eps=1e-3)

    x = 3 * torch.randn(2, 8, 6, 5)
    wide = step(x, "expand").clamp(0, 6)
    filtered = step(wide, "depthwise", groups=24).clamp(0, 6)
    torch.testing.assert_close(block(x), x + step(filtered, "project"))
    assert not InvertedResidual(8, 16, conv=CONV).residual
    assert not InvertedResidual(8, 8, stride=2, conv=CONV).residual
    assert isinstance(InvertedResidual(8, 8, expansion=1, conv=CONV).expand, nn.Identity)


@pytest.mark.parametrize("width", ["", "_140", "_130", "_075", "_050", "_035"])
def test_the_repositorys_sizes_leave_out_the_norms(width: str) -> None:
    stated = {"": 3.47, "_140": 6.06, "_130": 5.34, "_075": 2.61, "_050": 1.95, "_035": 1.66}[width]
    net = on_meta(f"mobilenet_v2{width}")
    norms = sum(
        p.numel() for module in net.modules() if isinstance(module, nn.BatchNorm2d) for p in module.parameters()
    )
    assert round((entry(f"mobilenet_v2{width}").parameters - norms) / 1e6, 2) == stated


# Table 4 of MobileNetV2: top-1 accuracy in per cent, parameters and multiply-adds in millions.
TABLE_4 = {
    "mobilenet_v1": (70.6, 4.2, 575),
    "shufflenet_g3_150": (71.5, 3.4, 292),
    "shufflenet_g3_200": (73.7, 5.4, 524),
    "nasnet_a_mobile": (74.0, 5.3, 564),
    "mobilenet_v2": (72.0, 3.4, 300),
    "mobilenet_v2_140": (74.7, 6.9, 585),
}


def test_the_second_papers_comparison_is_in_the_catalogue() -> None:
    for name, (accuracy, millions, mega) in TABLE_4.items():
        net = entry(name)
        error = net.published["error"]
        assert isinstance(error, float)
        assert round(100 - error, 1) == accuracy, name
        # Its own widest net has fewer parameters than it says, and the first MobileNet's paper says 569 M.
        assert net.parameters / 1e6 == pytest.approx(millions, rel=0.13 if name == "mobilenet_v2_140" else 0.04), name
        assert net.madds / 1e6 == pytest.approx(mega, rel=0.012), name


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
@pytest.mark.parametrize("width", [0.0, 8.1, -1.0])
def test_a_width_out_of_range_is_refused(name: str, width: float) -> None:
    with pytest.raises(RequestError, match=f"width must be above 0 and at most 8, not {width}"):
        create(name, options={"width": width})


def test_a_dropout_out_of_range_is_refused() -> None:
    with pytest.raises(RequestError, match="dropout must be at least 0 and below 1, not 1"):
        create("mobilenet_v2", options={"dropout": 1.0})
