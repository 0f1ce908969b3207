"""Strangers: a limit from few images, and tensors that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from striate.errors import RequestError
from striate.inference.strangers import NEIGHBOURS, Strangers, distances_among
from striate.jobs.models import published_model


@pytest.mark.parametrize("images", [2, 3, NEIGHBOURS, NEIGHBOURS + 1, 40])
def test_a_limit_from_few_images_still_refuses_what_is_nothing_like_them(images: int) -> None:
    known = np.eye(1, 32, dtype=np.float32) + 0.05 * np.random.default_rng(0).normal(size=(images, 32))
    knows = Strangers.learnt(known.astype(np.float32))
    assert knows.limit < 0.5
    assert knows.distances(-known.astype(np.float32)).min() > knows.limit


def test_copies_are_no_neighbours() -> None:
    generator = np.random.default_rng(1)
    images = generator.normal(size=(12, 8)).astype(np.float32)
    twice = distances_among(np.concatenate([images, images]))
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    others = np.repeat(unit @ unit.T, 2, axis=1)
    others[others > 1 - 1e-6] = -1
    expected = 1 - np.sort(others, axis=1)[:, -NEIGHBOURS]
    np.testing.assert_allclose(twice[:12], expected, atol=1e-5)


@pytest.mark.parametrize("bank", [np.zeros((3, 7), np.float16), np.zeros(1280, np.float16), np.zeros((0, 1280), "f2")])
def test_a_memory_that_does_not_fit_the_model_is_refused(bank: np.ndarray) -> None:
    model = published_model("efficientnet_lite0")
    limit = np.array([0.5], np.float32)
    damaged = dataclasses.replace(model, extras={"strangers.bank": bank, "strangers.limit": limit})
    with pytest.raises(RequestError, match="cannot tell strangers"):
        Strangers.of(damaged)


def test_a_memory_without_its_limit_is_refused() -> None:
    model = published_model("efficientnet_lite0")
    damaged = dataclasses.replace(model, extras={"strangers.bank": np.zeros((3, 1280), np.float16)})
    with pytest.raises(RequestError, match="cannot tell strangers"):
        Strangers.of(damaged)
