"""Augmentation moves pixels as a plain slice would, by the same amount in whatever batch the image comes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from striate.data.augment import POLICIES, Moves, augment, draw, moved
from striate.errors import RequestError


def pictures(n: int, channels: int = 2, height: int = 9, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def by_hand(image: Tensor, down: int, right: int, flip: bool) -> Tensor:
    """One image [C, H, W], mirrored, then shifted, pixel by pixel."""
    height, width = image.shape[1:]
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y - down, x - right
            if 0 <= from_y < height and 0 <= from_x < width:
                out[:, y, x] = image[:, from_y, width - 1 - from_x if flip else from_x]
    return out


@given(st.data(), st.integers(0, 5))
def test_moves_are_those_of_a_plain_loop(data: st.DataObject, pad: int) -> None:
    images = pictures(3, height=4, width=5)
    shifts = st.lists(st.integers(-pad, pad), min_size=3, max_size=3)
    down, right = data.draw(shifts), data.draw(shifts)
    flip = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    out = moved(images, Moves(np.array(down), np.array(right), np.array(flip)), pad=pad)
    for number, result in enumerate(out):
        assert torch.equal(result, by_hand(images[number], down[number], right[number], flip[number]))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("batch", [1, 3, 7, 20])
def test_does_not_depend_on_the_batch(policy: str, batch: int) -> None:
    images, samples = pictures(20), np.arange(20) * 11
    whole = augment(images, samples, policy=policy, pad=3, seed=4, epoch=2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    for some in torch.split(order, batch):
        part = augment(images[some], samples[some.numpy()], policy=policy, pad=3, seed=4, epoch=2)
        assert torch.equal(part, whole[some])


def test_policies_draw_what_they_say_and_evenly() -> None:
    samples = np.arange(30_000)
    shift = draw(samples, policy=POLICIES["shift"], pad=2, seed=0, epoch=0)
    both = draw(samples, policy=POLICIES["shift+flip"], pad=2, seed=0, epoch=0)
    assert not shift.flip.any()
    # Adding the flip does not change the shifts.
    np.testing.assert_array_equal(shift.down, both.down)
    assert abs(both.flip.mean() - 0.5) < 0.02
    cells = np.bincount((both.down + 2) * 5 + both.right + 2, minlength=25)
    assert len(cells) == 25
    assert abs(cells - 1_200).max() < 5 * 1_200**0.5


def test_epochs_and_seeds_differ() -> None:
    images, samples = pictures(20), np.arange(20)
    first = augment(images, samples, policy="shift", pad=3, seed=0, epoch=0)
    assert torch.equal(first, augment(images, samples, policy="shift", pad=3, seed=0, epoch=0))
    assert not torch.equal(first, augment(images, samples, policy="shift", pad=3, seed=0, epoch=1))
    assert not torch.equal(first, augment(images, samples, policy="shift", pad=3, seed=1, epoch=0))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_input_is_left_alone_and_its_kind_kept(dtype: torch.dtype, layout: torch.memory_format) -> None:
    images = pictures(8).to(dtype).contiguous(memory_format=layout)
    before = images.clone()
    out = augment(images, np.arange(8), policy="shift+flip", pad=2, seed=0, epoch=0)
    assert torch.equal(images, before)
    assert (out.shape, out.dtype) == (images.shape, dtype)
    plain = augment(pictures(8), np.arange(8), policy="shift+flip", pad=2, seed=0, epoch=0)
    assert torch.equal(out.to(torch.uint8), plain)


def test_edges() -> None:
    images = pictures(4)
    assert augment(images, np.arange(4), policy="none", pad=4, seed=0, epoch=0) is images
    assert torch.equal(augment(images, np.arange(4), policy="shift", pad=0, seed=0, epoch=0), images)
    assert augment(images[:0], np.arange(0), policy="shift", pad=2, seed=0, epoch=0).shape == (0, 2, 9, 12)
    # A shift larger than the image leaves nothing of it in some, and is no error.
    assert augment(images, np.arange(4), policy="shift", pad=30, seed=0, epoch=0).shape == images.shape


def test_wrong_requests_say_what_was_given() -> None:
    images, samples = pictures(4), np.arange(4)
    with pytest.raises(RequestError, match="'shft'; did you mean 'shift'"):
        augment(images, samples, policy="shft", pad=2, seed=0, epoch=0)
    with pytest.raises(RequestError, match="not -1"):
        augment(images, samples, policy="shift", pad=-1, seed=0, epoch=0)
    with pytest.raises(RequestError, match=r"not \[4, 2, 9, 12\] and \[3\]"):
        augment(images, samples[:3], policy="shift", pad=2, seed=0, epoch=0)
