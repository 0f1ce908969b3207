"""Trials: short trainings that repeat exactly, on images that are kept apart, and measured costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from striate import RequestError, open_data
from striate.layers.batch_statistics import batch_norms
from striate.nets.build import create_classifier
from striate.tuning.architecture.images import TrialImages, trial_images
from striate.tuning.architecture.mobile_space import mobile_space
from striate.tuning.architecture.objective import NOISY, Latency, Objective, measured_latency
from striate.tuning.architecture.trial import Judge, Trial, trained, trial_recipe

SPACE = mobile_space(8, channels=8)


@pytest.fixture(scope="module")
def images() -> TrialImages:
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), [60, 30, 10])
    drawn = generator.integers(0, 255, (100, 8, 8), dtype=np.uint8)
    drawn[1] = drawn[2] = drawn[0]  # equal images stay on one side
    return trial_images(open_data((drawn, targets)), most=40, rule="squash", seed=0)


def judge(images: TrialImages, **changes: object) -> Judge:
    training, validation = images.at(8)
    recipe = trial_recipe(epochs=1, batch=16, seed=0).updated(changes)
    return Judge(SPACE, Objective("madds", 1e5), training, validation, recipe)


def test_training_and_validation_images_are_apart_and_each_class_has_its_share(images: TrialImages) -> None:
    training, validation = images.at(8)
    assert set(images.training.tolist()).isdisjoint(images.validation.tolist())
    counts = np.bincount(training.targets.numpy())
    assert len(training) <= 42 and counts[0] > counts[1] > counts[2] >= 1
    digests = [
        {images.training_part.entries[row].record.digest for row in rows}
        for rows in (images.training, images.validation)
    ]
    assert digests[0].isdisjoint(digests[1])
    assert validation.mean == training.mean


def test_a_trial_repeats_exactly_and_leaves_the_random_state(images: TrialImages) -> None:
    before = torch.random.get_rng_state()
    one, other = judge(images)(SPACE.reference), judge(images)(SPACE.reference)
    assert torch.equal(before, torch.random.get_rng_state())
    assert dataclasses.replace(one, seconds=0.0) == dataclasses.replace(other, seconds=0.0)
    assert one.reward == pytest.approx(one.accuracy * (one.madds / 1e5) ** -0.07) and not one.failed
    assert Trial.from_dict(one.as_dict()) == one


def test_batch_norms_of_a_trial_have_the_statistics_of_its_training_images(images: TrialImages) -> None:
    training, validation = images.at(32)
    net, _ = trained("efficientnet_tiny", {}, training, validation, trial_recipe(epochs=1, batch=16, seed=0))
    inputs = (training.images - torch.tensor(training.mean)[:, None, None]) / torch.tensor(training.std)[:, None, None]
    with torch.no_grad():
        seen = net.get_submodule("stage1.conv")(inputs)
    norm = batch_norms(net)[0]  # its running average forgets 1 % a step: of 3 steps it would have 3 %
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, seen.var((0, 2, 3)), rtol=1e-3)


def test_a_training_that_fails_is_a_failed_trial(images: TrialImages) -> None:
    trial = judge(images, **{"loss.name": "huber"})(SPACE.reference)
    assert "huber" in trial.failed and trial.reward == 0 and "\n" not in trial.failed


def test_a_latency_is_a_median_with_its_spread() -> None:
    net = create_classifier("searched_mobile", classes=2, options=SPACE.options_of(SPACE.reference)).train()
    threads = torch.get_num_threads()
    found = measured_latency(net, 8)
    assert found.seconds > 0 and found.spread >= 0 and net.training and torch.get_num_threads() == threads
    assert Latency(1.0, NOISY * 2).noisy and not Latency(1.0, NOISY / 2).noisy


def test_other_tasks_and_too_few_images_are_refused() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, 255, (12, 8, 8), dtype=np.uint8)
    with pytest.raises(RequestError, match="needs single-label classification, not the task 'regression'"):
        trial_images(open_data((drawn, np.linspace(0, 1, 12))), most=10, rule="squash", seed=0)
    with pytest.raises(RequestError, match="too few for a search"):
        trial_images(open_data((drawn[:4], np.arange(4) % 2)), most=10, rule="squash", seed=0)
