"""Fine-tuning is chosen if the head's error leaves more room than noise, from data alone."""

from __future__ import annotations

import pytest

from striate.learning.gain import PASSES, Gain, removed_share


def gain(error: float, images: int, removed: float) -> Gain:
    """The gain for a number of images, and the noise that their number leaves."""
    return Gain(error, 1.96 * (error * (1 - error) / images) ** 0.5, removed, similarity=0.6, passes=4 * images)


@pytest.mark.parametrize(
    ("error", "images", "removed", "worth"),
    [
        (0.035, 244, 0.08, False),  # ants and bees: a third of a point, of which nothing could be measured
        (0.003, 13_000, 0.5, False),  # blood cells: the head already knows nearly all
        (0.20, 2000, 0.25, True),
        (0.20, 100, 0.08, False),  # too few images to tell a gain of two points from chance
        (0.07, 9000, 0.45, True),
    ],
)
def test_a_gain_within_the_noise_or_below_half_a_point_is_not_worth_it(
    error: float, images: int, removed: float, worth: bool
) -> None:
    assert gain(error, images, removed).worth == worth


def test_many_images_and_different_ones_leave_more_to_learn() -> None:
    few, many = 250, 4000
    similar, different = 0.7, 0.2
    shares = [removed_share(images, likeness) for likeness in (similar, different) for images in (few, many)]
    assert shares == pytest.approx([0.08, 0.32, 0.12, 0.48])


def test_a_large_folder_is_only_fine_tuned_on_request() -> None:
    assert gain(0.2, PASSES // 4, 0.3).affordable and not gain(0.2, PASSES // 4 + 1, 0.3).affordable
