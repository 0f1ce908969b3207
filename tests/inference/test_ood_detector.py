"""Distances in feature space, computed by hand; copies of an image do not make it in-distribution."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from striate.errors import RequestError
from striate.inference import ood
from striate.inference.ood import NEIGHBOURS, OODDetector, distances_among, distances_to
from striate.weights.models import published_model

AXES = np.eye(8, dtype=np.float32)


def rotated(*degrees: float) -> np.ndarray:
    """Unit vectors of a plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def test_the_distance_is_one_minus_the_cosine_to_the_fifth_nearest() -> None:
    assert NEIGHBOURS == 5
    others = rotated(10, 20, 30, 40, 50, 60, 70)
    assert distances_to(rotated(0), others)[0] == pytest.approx(1 - np.cos(np.radians(50)), abs=1e-6)
    assert distances_to(rotated(45), others)[0] == pytest.approx(1 - np.cos(np.radians(25)), abs=1e-6)
    assert distances_to(7 * rotated(0), 3 * others)[0] == pytest.approx(1 - np.cos(np.radians(50)), abs=1e-6)


def test_no_image_is_its_own_neighbour() -> None:
    found = distances_among(rotated(0, 10, 20, 30, 40, 50))
    expected = [50, 40, 30, 30, 40, 50]  # of six, the fifth nearest other is the furthest
    assert found == pytest.approx(1 - np.cos(np.radians(expected)), abs=1e-6)


def test_fewer_than_five_others_count_as_many_as_there_are() -> None:
    assert distances_to(rotated(0), rotated(30, 60))[0] == pytest.approx(0.5, abs=1e-6)
    assert distances_to(AXES[:1], AXES[1:2]).tolist() == [1.0]
    assert distances_to(AXES[:0], AXES).tolist() == []


def test_copies_do_not_make_an_image_in_distribution() -> None:
    # Nine copies of an outlier, and a cluster of others: copies do not count as neighbours of each other.
    cluster = rotated(*range(0, 20, 2))
    outlier = np.repeat(rotated(150), 9, axis=0)
    found = distances_among(np.concatenate([cluster, outlier]))
    alone = distances_among(np.concatenate([cluster, outlier[:1]]))
    assert found[10:] == pytest.approx([alone[10]] * 9, abs=1e-6)
    assert found[10:].min() > 10 * found[:10].max()


def test_the_threshold_accepts_95_of_100_training_images() -> None:
    generator = np.random.default_rng(0)
    embeddings = generator.normal(1, 0.3, (200, 16)).astype(np.float32)
    detector = OODDetector.fit(embeddings)
    among = distances_among(embeddings)
    assert (among <= detector.threshold).mean() == pytest.approx(0.95, abs=0.01)
    assert detector.bank.shape == (200, 16) and detector.bank.dtype == np.float16
    assert np.linalg.norm(detector.bank.astype(np.float32), axis=1) == pytest.approx(np.ones(200), abs=2e-3)
    # New images like them are within it as often, and images of another kind are not.
    known = detector.distances(generator.normal(1, 0.3, (400, 16)).astype(np.float32))
    far = detector.distances(generator.normal(0, 1, (400, 16)).astype(np.float32))
    assert (known <= detector.threshold).mean() > 0.85
    assert (far <= detector.threshold).mean() < 0.05


def test_distances_to_the_bank_are_those_by_hand() -> None:
    bank = rotated(10, 20, 30, 40, 50, 60).astype(np.float16)
    found = OODDetector(bank, 0.1).distances(rotated(0, 180))
    assert found == pytest.approx(1 - np.cos(np.radians([50, 160])), abs=2e-3)
    assert OODDetector(bank, 0.1).distances(np.zeros((0, 2), np.float32)).shape == (0,)


def test_orthogonal_embeddings_have_distance_one_and_zero_is_allowed() -> None:
    detector = OODDetector(AXES[:6].astype(np.float16), 0.5)
    assert detector.distances(np.stack([AXES[7], np.zeros(8, np.float32)])).tolist() == [1.0, 1.0]


def test_the_bank_is_capped_and_drawn_by_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ood, "LARGEST", 50)
    embeddings = np.random.default_rng(1).normal(1, 0.5, (300, 8)).astype(np.float32)
    one, same, other = (OODDetector.fit(embeddings, seed) for seed in (0, 0, 1))
    assert one.bank.shape == (50, 8)
    assert np.array_equal(one.bank, same.bank) and one.threshold == same.threshold
    assert not np.array_equal(one.bank, other.bank)
    rows = {row.tobytes() for row in (embeddings / np.linalg.norm(embeddings, axis=1)[:, None]).astype(np.float16)}
    assert all(row.tobytes() in rows for row in one.bank)


def test_blocks_of_rows_change_nothing() -> None:
    embeddings = np.random.default_rng(2).normal(size=(1100, 12)).astype(np.float32)
    whole = distances_to(embeddings, embeddings[:40])
    parts = [distances_to(embeddings[start : start + 100], embeddings[:40]) for start in range(0, 1100, 100)]
    assert np.allclose(whole, np.concatenate(parts), atol=1e-6)


@pytest.mark.parametrize("images", [2, 3, NEIGHBOURS, NEIGHBOURS + 1, 40])
def test_a_threshold_from_few_images_still_rejects_ood_images(images: int) -> None:
    known = np.eye(1, 32, dtype=np.float32) + 0.05 * np.random.default_rng(0).normal(size=(images, 32))
    detector = OODDetector.fit(known.astype(np.float32))
    assert detector.threshold < 0.5
    assert detector.distances(-known.astype(np.float32)).min() > detector.threshold


@pytest.mark.parametrize("bank", [np.zeros((3, 7), np.float16), np.zeros(1280, np.float16), np.zeros((0, 1280), "f2")])
def test_a_bank_that_does_not_fit_the_model_is_refused(bank: np.ndarray) -> None:
    model = published_model("efficientnet_lite0")
    limit = np.array([0.5], np.float32)
    damaged = dataclasses.replace(model, extras={"ood.bank": bank, "ood.threshold": limit})
    with pytest.raises(RequestError, match="OOD detector is damaged"):
        OODDetector.of(damaged)


def test_a_bank_without_its_threshold_is_refused() -> None:
    model = published_model("efficientnet_lite0")
    damaged = dataclasses.replace(model, extras={"ood.bank": np.zeros((3, 1280), np.float16)})
    with pytest.raises(RequestError, match="OOD detector is damaged"):
        OODDetector.of(damaged)
