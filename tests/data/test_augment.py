"""Augmentation draws by sample, whatever the batch, and does to values exactly what its words say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from augmenting import augmentation
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment, mixing
from striate.data.augment.colour import IMAGENET_LIGHTING
from striate.data.augment.keyed import Stream, several
from striate.errors import RequestError

# One of every transform, and all of them together; images are 9 x 12, larger ones 20 x 24.
EVERY = [
    "shift=3",
    "shift=3 flip=0.5",
    "flip=0.5",
    "rotate=20",
    "shear=15",
    "scale=0.8,1.3",
    "crop=0.2,1",
    "shorter_side=14",
    "shorter_side=[[12,0.5],[17,0.5]]",
    "elastic=1",
    "elastic=2 elastic_sigma=0.7",
    "rotate=20 fill=edge",
    "shift=5 fill=mirror",
    "colour=30",
    "lighting=0.1",
    "cutout=4",
    "pixel_dropout=0.2",
    "crop=0.3,1 flip=0.5 scale=0.9,1.1 shear=5 rotate=9 shift=1 elastic=1 colour=9 lighting=0.1 cutout=0.3 "
    "pixel_dropout=0.1",
]

ANY = [
    "flip=1", "shift=30", "shift=0.3", "crop=0.01,1", "scale=0.1,10", "rotate=180", "shear=60", "elastic=90",
    "fill=edge", "fill=mirror", "colour=255", "lighting=10", "cutout=0.5", "cutout=50", "pixel_dropout=0.95", "mixup=1",
]  # fmt: skip


def pictures(n: int, channels: int = 3, height: int = 9, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def done(
    images: Tensor,
    text: str,
    samples: np.ndarray | None = None,
    *,
    seed: int = 4,
    epoch: int = 2,
    size: tuple[int, int] | None = None,
    fraction: float = 1.0,
    blank: tuple[float, ...] = (0.0,),
) -> Tensor:
    names = np.arange(len(images)) if samples is None else samples
    chosen = augmentation(text)
    return augment(images, names, chosen, seed=seed, epoch=epoch, size=size, fraction=fraction, blank=blank)


@pytest.mark.parametrize("text", EVERY)
@pytest.mark.parametrize("larger", [False, True])
def test_does_not_depend_on_the_batch(text: str, larger: bool) -> None:
    if "sizes" in text and not larger:
        pytest.skip("a window of a larger size needs a larger image")
    images, samples = pictures(23, height=20, width=24) if larger else pictures(23), np.arange(23) * 11
    size = (9, 12)
    whole = done(images, text, samples, size=size)
    assert (whole.shape, whole.dtype) == ((23, 3, 9, 12), torch.uint8)
    assert torch.equal(done(images.contiguous(memory_format=torch.channels_last), text, samples, size=size), whole)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    for batch in (1, 3, 7):
        for some in torch.split(order, batch):
            assert torch.equal(done(images[some], text, samples[some.numpy()], size=size), whole[some])


SMALL = st.integers(1, 9)


@given(st.data(), st.tuples(SMALL, SMALL), st.tuples(SMALL, SMALL), st.floats(0.1, 1))
def test_any_augmentation_takes_any_image(
    data: st.DataObject, source: tuple[int, int], size: tuple[int, int], fraction: float
) -> None:
    words = data.draw(st.lists(st.sampled_from(ANY), unique_by=lambda word: word.partition("=")[0]))
    images = pictures(3, height=source[0], width=source[1])
    whole = done(images, " ".join(words), size=size, fraction=fraction)
    assert (whole.shape, whole.dtype) == ((3, 3, *size), torch.uint8)
    assert torch.equal(done(images[1:2], " ".join(words), np.array([1]), size=size, fraction=fraction), whole[1:2])


@pytest.mark.parametrize("text", ["elastic=2 elastic_sigma=5 rotate=10", "photo"])
def test_large_images_do_not_depend_on_the_batch_either(text: str) -> None:
    # Several are worked on at a time, and more threads than one take part.
    images = pictures(7, height=230, width=256)
    whole = done(images, text, size=(200, 224))
    assert torch.equal(done(images[3:4], text, np.array([3]), size=(200, 224)), whole[3:4])
    assert torch.equal(done(images[4:].flip(0), text, np.arange(6, 3, -1), size=(200, 224)), whole[4:].flip(0))


@pytest.mark.parametrize("text", EVERY)
def test_epochs_seeds_and_samples_differ(text: str) -> None:
    images = pictures(1, height=20, width=24).expand(30, -1, -1, -1)
    first = done(images, text, size=(9, 12))
    assert torch.equal(first, done(images, text, size=(9, 12)))
    assert not torch.equal(first, done(images, text, size=(9, 12), epoch=3))
    assert not torch.equal(first, done(images, text, size=(9, 12), seed=5))
    assert len({image.numpy().tobytes() for image in first}) > (1 if text == "flip=0.5" else 5)


def test_shifts_and_flips_never_change_between_releases() -> None:
    images = pictures(20, channels=2)
    for text, digest in (("shift=3", "c8649909080acded"), ("shift=3 flip=0.5", "9fd5fe46e2ab9c33")):
        out = done(images, text, np.arange(20) * 11)
        assert hashlib.sha256(out.numpy().tobytes()).hexdigest().startswith(digest)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_input_is_left_alone_and_its_kind_kept(dtype: torch.dtype, layout: torch.memory_format) -> None:
    images = pictures(8).to(dtype).contiguous(memory_format=layout)
    before = images.clone()
    for text in ("shift=2 flip=0.5", "colour=40 cutout=3 pixel_dropout=0.1"):
        out = done(images, text)
        assert torch.equal(images, before)
        assert (out.shape, out.dtype) == (images.shape, dtype)
        assert torch.equal(out.to(torch.uint8), done(pictures(8), text))


def test_without_randomness_the_images_themselves_come_back() -> None:
    images = pictures(4)
    assert done(images, "none") is images
    assert done(images, "mixup=0.2") is images  # that is done where the loss is
    assert done(images[:0], "shift=2").shape == (0, 3, 9, 12)
    assert done(images[:0], "rotate=2", size=(5, 6)).shape == (0, 3, 5, 6)
    # A shift larger than the image leaves nothing of it in some, and is no error.
    assert done(images, "shift=30").shape == images.shape


def test_colour_is_the_sum_clipped() -> None:
    images = pictures(200)
    out = done(images, "colour=30")
    draws = several(4, 2, np.arange(200), Stream.COLOUR, 3)
    levels = torch.from_numpy((draws * 61).astype(np.int64) - 30)
    # out = clip(rgb + [r, g, b], 0, 255)
    assert torch.equal(out, (images.long() + levels[:, :, None, None]).clamp(0, 255).to(torch.uint8))
    assert levels.min() == -30
    assert levels.max() == 30


def test_lighting_shifts_along_the_colour_axes() -> None:
    images = torch.full((4000, 3, 2, 2), 128, dtype=torch.uint8)
    moved = done(images, "lighting=0.1")[:, :, 0, 0].double().numpy() - 128
    # Rounding to whole levels adds a twelfth to each variance.
    expected = (0.1 * IMAGENET_LIGHTING) @ (0.1 * IMAGENET_LIGHTING).T + np.eye(3) / 12
    np.testing.assert_allclose(np.cov(moved.T), expected, rtol=0.1)
    assert (done(images, "lighting=0.1")[:, :, :1, :1] == done(images, "lighting=0.1")).all()
    grey = augmentation("lighting=0.1")
    with pytest.raises(RequestError, match=r"1 channels takes as many components, not \[3, 3\]"):
        augment(images[:, :1], np.arange(4000), grey, seed=0, epoch=0)
    alone = augment(images[:, :1], np.arange(4000), grey, seed=0, epoch=0, lighting=np.array([[100.0]]))
    assert alone.double().std().item() == pytest.approx(10, rel=0.05)


def test_cutout_blanks_a_square_whose_centre_is_anywhere() -> None:
    images = pictures(3000)
    out = done(images, "cutout=4", blank=(0, 0, 0))
    for image, before in zip(out[:50], images, strict=False):
        hidden = (image == 0).all(0)
        rows, columns = hidden.any(1).nonzero()[:, 0], hidden.any(0).nonzero()[:, 0]
        assert hidden.sum() == len(rows) * len(columns)
        assert len(rows) <= 4
        assert len(columns) <= 4
        assert torch.equal(image[:, ~hidden], before[:, ~hidden])
    sizes = (out == 0).all(1).sum((1, 2))
    assert sizes.max() == 16
    assert sizes.min() == 4  # in a corner: two rows and two columns are left of it
    hit = (out == 0).all(1).float().mean(0)
    # Every pixel is hidden as often as there are centres that reach it: all 16 in the middle.
    assert hit[5, 6].item() == pytest.approx(16 / (9 * 12), rel=0.15)
    grey = done(images, "cutout=0.5", blank=(10.4, 20.0, 30.6))  # half of 9 pixels, down
    assert (grey[:, :, 0, 0] != images[:, :, 0, 0]).any(1).float().mean() > 0.01
    changed = (grey != images).any(1).nonzero()[0]
    assert grey[changed[0], :, changed[1], changed[2]].tolist() == [10, 20, 31]


def test_dropping_blanks_its_share_of_values() -> None:
    images = pictures(300)
    out = done(images, "pixel_dropout=0.1")
    gone = out == 0
    assert gone.float().mean().item() == pytest.approx(0.1, rel=0.05)
    assert torch.equal(out[~gone], images[~gone])
    assert not torch.equal(gone[:, 0], gone[:, 1])  # each value on its own
    means = torch.tensor([5.0, 6.0, 7.0])
    assert (
        augment(images, np.arange(300), Augmentation(pixel_dropout=0.1), seed=4, epoch=2, blank=means)[:, 2][gone[:, 2]]
        == 7
    ).all()


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0, 10.0])
def test_mixing_is_drawn_from_beta(alpha: float) -> None:
    from scipy.stats import beta, kstest

    share = mixing(np.arange(20_000), alpha, seed=1, epoch=0)
    # The upper half is the lower one's mirror, but next to 1 floats lie too far apart to see it.
    assert kstest(share[share < 0.5], lambda x: 2 * beta(alpha, alpha).cdf(x)).statistic < 0.02
    assert (share < 0.5).mean() == pytest.approx(0.5, abs=0.015)
    np.testing.assert_allclose(np.sort(share)[::500], 1 - np.sort(share)[::-1][::500], atol=0.03)
    assert share.min() >= 0
    assert share.max() <= 1
    np.testing.assert_array_equal(share[40:60], mixing(np.arange(40, 60), alpha, seed=1, epoch=0))


def test_wrong_requests_say_what_was_given() -> None:
    images, samples = pictures(4), np.arange(4)
    with pytest.raises(RequestError, match=r"not \[4, 3, 9, 12\] and \[3\]"):
        done(images, "shift", samples[:3])
    with pytest.raises(RequestError, match="size of at least 1x1"):
        done(images, "shift", size=(0, 3))
    with pytest.raises(RequestError, match="resized to 8 has no window of 9x12"):
        done(images, "shorter_side=8")
    with pytest.raises(RequestError, match="resized to 8 has no window of 9x12"):
        done(images[:1], "shorter_side=[[40,1e9],[8,1e-9]]")  # at once, not when it is drawn at last
    with pytest.raises(RequestError, match="alpha above 0"):
        mixing(samples, 0.0, seed=0, epoch=0)
