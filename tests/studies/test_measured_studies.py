"""Studies that count, measure or train small things themselves: what their arms are, and what they find."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import striate
from striate.anatomy.summary import madds, parameters
from striate.data.opening import open_source
from striate.errors import RequestError
from striate.inspect.smoothness import Trial
from striate.jobs.import_weights import import_weights
from striate.jobs.reproduce import some_of
from striate.model import Model
from striate.nets.build import create_classifier
from striate.studies import catalog
from striate.studies.published import (
    boosting,
    compound_scaling,
    factorised,
    inception_forms,
    norm_initialisation,
    norm_smoothness,
    path_lengths,
    small_squeezenet,
    text,
)
from striate.studies.published import zero_or_identity as zero
from striate.studies.study import PARAMETERS, TEST_ERROR, Arm, Context
from striate.studies.tensors import tensors


def counts(net_text: str) -> tuple[int, int]:
    """Parameters and multiply-adds of a net file, at 32 x 32."""
    with torch.device("meta"):
        net = create_classifier("table_net", classes=10, in_channels=3, input_size=(32, 32), options={"text": net_text})
    return parameters(net), madds(net, (32, 32))


def no_weights(file: str, net: str, source: str) -> Model:
    raise AssertionError


def no_training(keys: Mapping[str, Any]) -> Path:
    raise AssertionError


def quick(data: str = "", published: Callable[[str, str, str], Model] = no_weights) -> Context:
    """What an arm may use at quick, on the first seed."""
    return Context("quick", 0, data, published, opened=open_source, trained=no_training)


def test_an_lstm_of_equal_size() -> None:
    assert text.equal_units(4_254_050, 50) == 1000  # the paper's LSTM for Penn Treebank, and
    units = text.equal_units(4_911_874, 50)  # one of its HyperLSTM's size
    assert abs(4 * units * (50 + units + 1) + 50 * (units + 1) - 4_911_874) < 10_000


def test_a_text_is_learnt_by_both_and_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = text.Training(units=12, hyper=4, embedding=2, epochs=1, batch=8, length=20, lr=1e-2)
    monkeypatch.setitem(text.TRAININGS, "quick", small)
    file = tmp_path / "stripes.txt"
    file.write_text("stripes of black and white. " * 60, encoding="utf-8")
    (outcome,) = striate.reproduce(["text"], data=file, out=tmp_path / "out").outcomes
    (bits, weights) = ({label: outcome.values(label, measure) for label in outcome.results}
                       for measure in (text.BITS, PARAMETERS))  # fmt: skip
    assert min(bits[text.HYPER]) > 1 and max(bits[text.LSTM]) < 5 and max(bits[text.LZMA]) < 1
    assert weights[text.LSTM][0] == pytest.approx(weights[text.HYPER][0], rel=0.05) and not weights[text.BZ2]
    assert "bits per character" in (tmp_path / "out" / "text-quick.html").read_text("utf-8")
    assert len(text.text_of(text.TOPICS)) > 300_000
    file.write_bytes(b"stripes\xff")
    with pytest.raises(RequestError, match="is not a text in UTF-8: invalid start byte at byte 7"):
        striate.reproduce(["text"], data=file, out=tmp_path / "out")


def test_stacks_cost_what_the_lecture_says() -> None:
    found = {
        label: counts(factorised.net_text(rows)) for label, rows in {**factorised.FIVE, **factorised.SEVEN}.items()
    }
    parts, norms, pair = 3, 2 * 16, 16 * 16  # parts of a network, parameters of a norm, pairs of channels
    for one, more, weights, layers in (
        ("5 x 5", "two 3 x 3", 25 - 18, 1),
        ("5 x 5", "5 x 1 and 1 x 5", 25 - 10, 1),
        ("7 x 7", "three 3 x 3", 49 - 27, 2),
        ("7 x 7", "7 x 1 and 1 x 7", 49 - 14, 1),
    ):
        assert found[one][0] - found[more][0] == parts * (weights * pair - layers * norms)
        assert found[one][1] - found[more][1] == weights * pair * (32**2 + 16**2 + 8**2)
    assert found["5 x 5"][1] - found["5 x 5, separable"][1] == (25 * pair - 25 * 16 - pair) * (32**2 + 16**2 + 8**2)


def test_forms_of_the_block_and_of_halving() -> None:
    costs = {label: counts(rows)[1] for label, rows in inception_forms.TEXTS.items()}
    assert costs["naive"] > 4 * costs["reduced"] > 4 * costs["5 x 5 as two 3 x 3"] > 4 * costs["N x 1 and 1 x N"]
    stem, head = 3 * 16 * 9 * 32**2, 640
    whole = 2 * 16**2 * 9 * 32**2 + 2 * 32**2 * 9 * 16**2  # 2 k^2 weights at d^2 places, of both halvings
    assert costs["pool last"] == whole + stem + head
    assert costs["pool first"] == whole // 4 + stem + head and costs["parallel"] == whole // 8 + stem + head


def test_fractal_nets_are_as_large_as_the_residual_one() -> None:
    study = catalog.study("fractal")
    sizes = {}
    for arm in study.arms[:2]:
        settings = study.settings(arm, "cpu", 0)
        with torch.device("meta"):
            net = create_classifier(
                settings["net.name"], classes=10, input_size=(32, 32), options=settings.get("net.options", {})
            )
        sizes[arm.label] = parameters(net)
    assert sizes["FractalNet"] == pytest.approx(sizes["ResNet"], rel=0.03)


def test_one_dimension_alone_costs_no_less() -> None:
    found = {}
    for label in (compound_scaling.BASE, compound_scaling.COMPOUND, *compound_scaling.SINGLE):
        depth, width, resolution = compound_scaling.FACTORS[label]
        side = round(compound_scaling.SIDE * resolution)
        sizes = {"width": compound_scaling.WIDTH * width, "depth": compound_scaling.DEPTH * depth}
        with torch.device("meta"):
            net = create_classifier("efficientnet_b0", classes=10, input_size=(side, side), options=sizes)
        found[label] = madds(net, (side, side))
    assert found[compound_scaling.COMPOUND] > 1.8 * found[compound_scaling.BASE]
    assert all(found[label] > found[compound_scaling.COMPOUND] for label in compound_scaling.SINGLE)


def test_zero_is_learnt_faster_than_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zero.STEPS, "quick", 40)
    arms = {arm.label: arm for arm in zero.STUDY.arms}
    left = {
        label: zero.compute(arms[label], quick()).numbers[zero.LEFT]
        for label in ("zero, 2 layers", "identity, 2 layers")
    }
    assert left["zero, 2 layers"] < left["identity, 2 layers"] < 200


@pytest.fixture
def with_weights(test_data: Path, tmp_path: Path) -> Context:
    """What an arm may use at quick, on the first seed, with CIFAR-10 and published weights."""

    def published(file: str, net: str, source: str) -> Model:
        return import_weights(
            test_data / "weights" / file, net=net, source=source, out=tmp_path / "m.safetensors"
        ).model

    return quick(str(test_data / "cifar10_lossless_5k.npz"), published)


def test_each_block_corrects_the_sum_of_those_before(with_weights: Context) -> None:
    arms = {arm.label: arm for arm in boosting.STUDY.arms}
    one, whole = (
        boosting.compute(arms[f"residual, {kept} of 9 blocks"], with_weights).numbers[TEST_ERROR] for kept in (1, 9)
    )
    assert one > 30 > whole


def test_photographs_are_asked_for(tmp_path: Path) -> None:
    found = small_squeezenet.compute(Arm(small_squeezenet.ALEXNET), quick()).numbers
    assert found == {small_squeezenet.SIZE: pytest.approx(243.9, abs=0.1)}
    with pytest.raises(RequestError, match="needs --data, a folder of photographs of ImageNet's classes"):
        small_squeezenet._photographs(tmp_path, 10, None)


@pytest.mark.slow
def test_squeezenet_fits_into_half_a_megabyte(test_data: Path, tmp_path: Path) -> None:
    (outcome,) = striate.reproduce(
        ["small-squeezenet"], out=tmp_path, data=test_data / "imagenet_samples", weights=test_data / "weights"
    ).outcomes
    sizes = {label: outcome.values(label, small_squeezenet.SIZE)[0] for label in outcome.results}
    errors = {label: outcome.values(label, TEST_ERROR) for label in outcome.results}
    assert sizes[small_squeezenet.FLOATS] == pytest.approx(4 * 1_248_424 / 1e6)
    assert errors[small_squeezenet.CODED] == errors[small_squeezenet.FLOATS]  # nothing is lost
    assert sizes[small_squeezenet.VALUES_16] < sizes[small_squeezenet.VALUES_64] < 0.5
    assert sizes[small_squeezenet.VALUES_64] < sizes[small_squeezenet.CODED] < 0.6


def test_short_paths_and_long_ones_are_all_paths(with_weights: Context) -> None:
    arm = Arm(path_lengths.FEW)
    few, again = (path_lengths.compute(arm, with_weights) for _ in range(2))
    other = path_lengths.compute(arm, dataclasses.replace(with_weights, seed=1))
    assert few == again != other and few.numbers[path_lengths.NORM] > 0
    assert few.numbers[path_lengths.SHARE] == pytest.approx(100 * math.comb(27, 3) / 2**27)
    assert [row["blocks"] for row in few.curve] == [3]
    shorter, longer = (path_lengths.PATHS[label] for label in (path_lengths.SHORT, path_lengths.LONG))
    assert [*shorter, *longer] == list(range(path_lengths.BLOCKS + 1))


def test_the_loss_along_the_gradient_is_measured_with_and_without_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(norm_smoothness.STEPS, "quick", 4)
    monkeypatch.setattr(norm_smoothness, "PLACES", 2)
    monkeypatch.setattr(norm_smoothness, "LENGTHS", norm_smoothness.LENGTHS[:2])
    found = [norm_smoothness.compute(arm, quick("digits")) for arm in norm_smoothness.STUDY.arms]
    again = norm_smoothness.compute(norm_smoothness.STUDY.arms[0], quick("digits"))
    assert found[0] == again != found[1]
    for one in found:
        assert [row["step"] for row in one.curve] == [2, 4] and min(one.numbers.values()) > 0


def test_weights_are_scaled_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(norm_initialisation.STEPS, "quick", 1)
    seen: list[float] = []

    def trial(make: Callable[[], torch.nn.Module], train: Any, held_out: Any, **how: Any) -> Trial:
        assert train[0].shape[1:] == held_out[0].shape[1:] == (3, 8, 8)
        seen.append(how["scale"])
        return Trial(0.25, math.nan if how["scale"] > 1 else 1.0)

    monkeypatch.setattr("striate.inspect.smoothness.trial", trial)
    errors = [norm_initialisation.compute(arm, quick("digits")).numbers for arm in norm_initialisation.STUDY.arms[:3]]
    assert seen == [1 / 3, 1.0, 3.0]
    assert [one[TEST_ERROR] for one in errors] == [75.0, 75.0, 90.0]  # where the loss is not finite: chance


def test_tensors_of_the_training_part_are_normalised_and_drawn_by_a_seed() -> None:
    data = tensors(some_of("digits", (200, 200)), 8, 0)
    assert data.train[0].shape[1:] == (3, 8, 8) and data.classes == 10
    assert len(data.train[1]) > 2 * len(data.held_out[1]) > 50
    torch.testing.assert_close(data.train[0].mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(data.train[0].std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)
    first, second, other = (next(data.batches(16, seed))[1].tolist() for seed in (0, 0, 1))
    assert first == second != other
