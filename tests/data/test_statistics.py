"""Statistics are those of a plain computation, whatever the order, the block or the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from striate.data.augment import statistics
from striate.data.augment.statistics import measure
from striate.errors import RequestError


def pictures(n: int = 50, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(0)
    base = generator.integers(0, 200, (n, 7, 5, 1))
    return (base + generator.integers(0, 56, (n, 7, 5, channels))).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_agrees_with_numpy(channels: int) -> None:
    images = pictures(channels=channels)
    found, pixels = measure(images), images.reshape(-1, channels).astype(np.float64)
    assert found.count == 50
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.atleast_2d(np.cov(pixels.T, ddof=0)), rtol=1e-12)
    np.testing.assert_allclose(found.mean_image, images.mean(0), rtol=1e-14)
    assert found.deviation == pytest.approx((images - images.mean(0)).std(), rel=1e-12)


def test_blocks_rows_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images, rows = pictures(), np.random.default_rng(1).permutation(50)[:33]
    whole = measure(images[rows])
    monkeypatch.setattr(statistics, "_BLOCK", 300)  # three images at a time
    np.save(tmp_path / "images.npy", images)
    for other in (measure(np.load(tmp_path / "images.npy", mmap_mode="r"), rows), measure(images, rows[::-1].tolist())):
        for name in ("mean", "covariance", "mean_image", "deviation"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(other, name))


def test_components_are_the_axes_of_the_cloud() -> None:
    values, vectors = measure(pictures()).components
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(vectors * values @ vectors.T, measure(pictures()).covariance, rtol=1e-10)
    assert (np.abs(vectors).max(0) == vectors.max(0)).all()
    # The channels share their base, so grey is the first axis.
    np.testing.assert_allclose(vectors[:, 0], 3**-0.5, atol=0.05)
    np.testing.assert_allclose(measure(pictures()).lighting, vectors * (values / 255**2) * 255, rtol=1e-12)


def test_normalisations() -> None:
    images = pictures()
    found = measure(images)
    for how, shape in (("channel", (3,)), ("mean-pixel", (3,)), ("mean-image", (7, 5, 3))):
        mean, std = found.normalisation(how)
        assert mean.shape == shape
        seen = (images - mean) / std
        assert seen.mean() == pytest.approx(0, abs=1e-12)
        assert seen.std() == pytest.approx(1)
        if how == "channel":
            np.testing.assert_allclose(seen.std((0, 1, 2)), 1)
        else:
            assert len(set(std)) == 1
    flat = measure(np.full((2, 3, 3, 1), 9, np.uint8))
    assert [flat.normalisation(how)[1].tolist() for how in statistics.NORMALISATIONS] == [[1.0]] * 3
    with pytest.raises(RequestError, match="unknown normalisation 'mean-pixl'; did you mean 'mean-pixel'"):
        found.normalisation("mean-pixl")


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(RequestError, match=r"not float64 \[2, 3, 3, 1\]"):
        measure(np.zeros((2, 3, 3, 1)))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="no images"):
        measure(pictures(), [])
