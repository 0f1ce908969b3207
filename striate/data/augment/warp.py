"""Geometric transforms of a batch: one composed map per image from output to source pixels, and one resampling.

Moves by integer pixels are gathered and not resampled: exact, and faster. Sums and products are separate operations
(no fused multiply-add, no matrix product), so that the result of a sample does not depend on its place in the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation, pixels_of
from striate.data.augment.keyed import Stream, grain, integers, uniform
from striate.errors import RequestError
from striate.tasks.pixel_losses import VOID

Size = tuple[int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """Random draws for the `samples` [B] of an epoch, keyed as in `striate.data.augment.keyed`."""

    seed: int
    epoch: int
    samples: NDArray[np.integer]

    def between(self, stream: Stream, low: float, high: float) -> Floats:
        """Uniform numbers from `low` to `high`: float64 [B]."""
        return low + (high - low) * uniform(self.seed, self.epoch, self.samples, stream)

    def whole(self, stream: Stream, low: int, high: int) -> NDArray[np.int64]:
        """Uniform integers from `low` to `high`, both included: int64 [B]."""
        return integers(self.seed, self.epoch, self.samples, stream, low, high + 1)


@dataclass(frozen=True)
class Windows:
    """The window of each source image that is used, in its pixels: four arrays float64 [B]."""

    top: Floats
    left: Floats
    height: Floats
    width: Floats

    def fit(self, size: Size) -> bool:
        """Whether every window has the output's size, so that nothing is interpolated."""
        return bool((self.height == size[0]).all() and (self.width == size[1]).all())


@dataclass(frozen=True)
class Moves:
    """The moves of each image of a batch, as three arrays [B]: int64, int64 and bool.

    It is flipped if `flip`, then shifted `down` and `right` by this many pixels; either may be negative.
    """

    down: NDArray[np.int64]
    right: NDArray[np.int64]
    flip: NDArray[np.bool_]


@dataclass(frozen=True)
class Sampling:
    """How pixels are read. beyond: the value outside the source, where it is filled. nearest: values are not mixed."""

    beyond: int = 0
    nearest: bool = False


PICTURES = Sampling()
MASKS = Sampling(beyond=VOID, nearest=True)


def moved_and_resampled(
    images: Tensor, chosen: Augmentation, draws: Draws, size: Size, fraction: float, how: Sampling = PICTURES
) -> Tensor:
    """The geometry of `chosen`: `images` [B, C, Hs, Ws] -> [B, C, *size], dtype and device kept."""
    if not (chosen.resamples or chosen.shorter_side or chosen.shift or chosen.flip):
        return plain(images, size, fraction, how)
    moves = draw_moves(draws, chosen, size)
    if not (chosen.resamples or chosen.shorter_side):
        if _window(images, size, fraction) != size:
            # Resized as for prediction, with anti-aliasing.
            images, fraction = plain(images, size, fraction, how), 1.0
        return gathered(images, draw_windows(draws, chosen, images, size, fraction), moves, chosen, how)
    windows = draw_windows(draws, chosen, images, size, fraction)
    if not chosen.resamples and windows.fit(size):
        return gathered(images, windows, moves, chosen, how)
    grid = sampling_grid(draws, chosen, windows, moves, (images.shape[2], images.shape[3]), size, images.device)
    return resampled(images, grid, chosen.fill, how)


def plain_masks(masks: Tensor, size: Size, fraction: float = 1.0) -> Tensor:
    """`plain` of masks uint8 [B, Hs, Ws] -> [B, *size]: the same crop, and each pixel the nearest."""
    return plain(masks[:, None], size, fraction, MASKS)[:, 0]


def plain(images: Tensor, size: Size, fraction: float = 1.0, how: Sampling = PICTURES) -> Tensor:
    """The preprocessing of prediction for `images` [B, C, Hs, Ws]: centre crop of the output's shape, then resizing.

    The crop is the largest window of that shape, times `fraction`. If it has the output's size nothing is resized; else
    resizing is bilinear with anti-aliasing, as Pillow's.
    """
    height, width = _window(images, size, fraction)
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    centre = images[:, :, top : top + height, left : left + width]
    if (height, width) == size or not len(images):
        return centre[:, :, : size[0], : size[1]]
    if how.nearest:
        return F.interpolate(centre, size, mode="nearest-exact")
    if centre.device.type == "cpu" or centre.dtype != torch.uint8:
        return F.interpolate(centre, size, mode="bilinear", antialias=True, align_corners=False)
    # Only a CPU resizes uint8 directly, in integers as Pillow does.
    wide = F.interpolate(centre.float(), size, mode="bilinear", antialias=True, align_corners=False)
    return wide.round_().clamp_(0, 255).to(torch.uint8)


def draw_moves(draws: Draws, chosen: Augmentation, size: Size) -> Moves:
    """The whole-pixel moves of each image."""
    most = pixels_of(chosen.shift, min(size))
    down = draws.whole(Stream.SHIFT_DOWN, -most, most)
    right = draws.whole(Stream.SHIFT_RIGHT, -most, most)
    return Moves(down, right, draw_flips(draws, chosen))


def draw_flips(draws: Draws, chosen: Augmentation) -> NDArray[np.bool_]:
    """Which images are mirrored."""
    return draws.between(Stream.FLIP, 0, 1) < chosen.flip


def draw_windows(draws: Draws, chosen: Augmentation, images: Tensor, size: Size, fraction: float) -> Windows:
    """The window of each image: drawn by `crop` or `sizes`, else the plain one in the centre."""
    across = (images.shape[2], images.shape[3])
    count = len(draws.samples)
    if chosen.crop != (1.0, 1.0):
        area = draws.between(Stream.CROP_AREA, *chosen.crop) * across[0] * across[1]
        aspect = np.exp(draws.between(Stream.CROP_ASPECT, math.log(chosen.aspect[0]), math.log(chosen.aspect[1])))
        # A window beyond the border is clipped, where the paper draws again: here each draw is keyed and made once.
        height, width = np.minimum(np.sqrt(area / aspect), across[0]), np.minimum(np.sqrt(area * aspect), across[1])
        top = draws.between(Stream.CROP_DOWN, 0, 1) * (across[0] - height)
        return Windows(top, draws.between(Stream.CROP_RIGHT, 0, 1) * (across[1] - width), height, width)
    if chosen.shorter_side:
        return _windows_of_sizes(draws, chosen, across, size)
    window = _window(images, size, fraction)
    places = [float((side - part) // 2) for side, part in zip(across, window, strict=True)]
    return Windows(*(np.full(count, value) for value in (*places, *map(float, window))))


def _windows_of_sizes(draws: Draws, chosen: Augmentation, across: Size, size: Size) -> Windows:
    sides = np.array([side for side, _ in chosen.shorter_side])
    shrinks = min(across) / sides  # source pixels a pixel of the resized image, for each size
    spares = [np.floor(length / shrinks + 1e-9) - out for length, out in zip(across, size, strict=True)]
    if (small := np.minimum(*spares) < 0).any():  # whether it is drawn or not
        wanted = f"{size[0]}x{size[1]}"
        raise RequestError(
            f"augment.shorter_side: an image resized to {sides[small][0]} has no window of {wanted} pixels"
        )
    shares = np.cumsum([share for _, share in chosen.shorter_side])
    draw = draws.between(Stream.SIZE, 0, shares[-1])
    place = np.minimum(np.searchsorted(shares, draw, side="right"), len(sides) - 1)
    shrink = shrinks[place]
    starts = [
        np.floor(draws.between(stream, 0, 1) * (spare[place] + 1)) * shrink
        for spare, stream in zip(spares, (Stream.CROP_DOWN, Stream.CROP_RIGHT), strict=True)
    ]
    return Windows(starts[0], starts[1], size[0] * shrink, size[1] * shrink)


def _window(images: Tensor, size: Size, fraction: float) -> Size:
    """Height and width of the plain window: the largest of the output's shape, times `fraction`, in integer pixels."""
    across = images.shape[2], images.shape[3]
    if across == size and fraction == 1:
        return size
    zoom = min(across[0] / size[0], across[1] / size[1]) * fraction
    # Half up, as `striate.pixels` rounds.
    height, width = (max(1, min(side, int(out * zoom + 0.5))) for out, side in zip(size, across, strict=True))
    return height, width


def gathered(images: Tensor, windows: Windows, moves: Moves, chosen: Augmentation, how: Sampling = PICTURES) -> Tensor:
    """`images` [B, C, Hs, Ws] after `moves` within windows of integer pixels, all of one size: [B, C, H, W]."""
    batch, channels, *across = images.shape
    height, width = (int(side[0]) if batch else 0 for side in (windows.height, windows.width))
    if not batch:
        return images
    y = np.arange(height) - moves.down[:, None]
    x = np.arange(width) - moves.right[:, None]
    x = np.where(moves.flip[:, None], width - 1 - x, x)
    rows, columns = y + windows.top.astype(np.int64)[:, None], x + windows.left.astype(np.int64)[:, None]
    inside = [(at >= 0) & (at < side) for at, side in zip((rows, columns), across, strict=True)]
    rows, columns = (_brought_in(at, side, chosen.fill) for at, side in zip((rows, columns), across, strict=True))
    # The source position of each pixel, the same in every channel: one gather does shift and flip.
    source = torch.from_numpy(rows[:, :, None] * across[1] + columns[:, None, :])
    index = source.to(images.device).view(batch, 1, height * width).expand(batch, channels, height * width)
    out = images.flatten(2).gather(2, index).view(batch, channels, height, width)
    if chosen.fill == "black" and not all(part.all() for part in inside):
        seen = [torch.from_numpy(part).to(images.device) for part in inside]
        out.masked_fill_(~(seen[0][:, None, :, None] & seen[1][:, None, None, :]), how.beyond)
    return out


def _brought_in(at: NDArray[np.int64], side: int, fill: str) -> NDArray[np.int64]:
    """Positions within 0 .. side - 1: those beyond it clamped to the edge, or mirrored at it."""
    if fill == "mirror":
        at = at % (2 * side)
        return np.where(at < side, at, 2 * side - 1 - at)
    return at.clip(0, side - 1)


def sampling_grid(
    draws: Draws, chosen: Augmentation, windows: Windows, moves: Moves, source: Size, size: Size, device: torch.device
) -> Tensor:
    """Where each output pixel is read, float32 [B, H, W, 2] as x, y from -1 to 1 across the source.

    The inverse map from the output: elastic displacement, inverse shift, rotation, shear, flip and scale, then from the
    output's pixels to the window's.
    """
    back = turned_back(draws, chosen, moves)
    y, x = ((torch.arange(side, device=device) + (0.5 - side / 2)) for side in size)
    across, down = x.view(1, 1, -1), y.view(1, -1, 1)
    if chosen.elastic:
        field = elastic_field(draws, chosen.elastic, chosen.elastic_sigma, size, device)
        across, down = across + field[:, 0], down + field[:, 1]
    grid = torch.empty((len(draws.samples), *size, 2), device=device)
    for axis, (by_x, by_y), start, extent, whole, out in (
        (0, back[0], windows.left, windows.width, source[1], size[1]),
        (1, back[1], windows.top, windows.height, source[0], size[0]),
    ):
        unit = 2 * extent / out / whole
        centre = 2 * (start + extent / 2) / whole - 1 - unit * (by_x * moves.right + by_y * moves.down)
        a, b, c = (
            torch.from_numpy(part).to(device, torch.float32).view(-1, 1, 1)
            for part in (unit * by_x, unit * by_y, centre)
        )
        torch.add(a * across + b * down, c, out=grid[..., axis])
    return grid


def turned_back(
    draws: Draws, chosen: Augmentation, moves: Moves
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Inverse rotation, shear, flip and scale of each sample: rows x, y of the source, columns x, y of the output."""
    turn = np.radians(draws.between(Stream.ROTATE, -chosen.rotate, chosen.rotate))
    lean = np.tan(np.radians(draws.between(Stream.SHEAR, -chosen.shear, chosen.shear)))
    zoom = np.exp(draws.between(Stream.SCALE, math.log(chosen.scale[0]), math.log(chosen.scale[1])))
    cos, sin, mirror = np.cos(turn) / zoom, np.sin(turn) / zoom, np.where(moves.flip, -1.0, 1.0)
    return (mirror * (cos + lean * sin), mirror * (sin - lean * cos)), (-sin, cos)


def elastic_field(draws: Draws, strength: float, smooth: float, size: Size, device: torch.device) -> Tensor:
    """Displacements along x and y in pixels, float32 [B, 2, H, W]: noise under a Gaussian of `smooth` pixels.

    `strength` is their root mean square. The noise is drawn on a grid with a spacing of half `smooth`: the field is
    within 3 % of its linear interpolation.
    """
    step = max(1, int(smooth / 2))
    sigma = smooth / step
    reach = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= math.sqrt((taps**2).sum())  # so that smoothing preserves the variance
    points = [-(-(side - 1) // step) + 1 for side in size]
    shape = (len(draws.samples), 2, points[0] + 2 * reach, points[1] + 2 * reach)
    noise = grain(draws.seed, draws.epoch, draws.samples, Stream.ELASTIC, math.prod(shape[1:]))
    even = torch.from_numpy(noise.astype(np.float32)).to(device).view(shape)
    field = (even - 32767.5) * (strength * math.sqrt(12) / 65536)
    for axis, count in ((2, points[0]), (3, points[1])):
        total = torch.zeros(()).to(field)
        for place, tap in enumerate(taps.tolist()):
            total = total + field.narrow(axis, place, count) * tap
        field = total
    if step > 1:
        spread = [(count - 1) * step + 1 for count in points]
        field = F.interpolate(field, spread, mode="bilinear", align_corners=True) if len(field) else field
    return field[:, :, : size[0], : size[1]]


def resampled(images: Tensor, grid: Tensor, fill: str, how: Sampling = PICTURES) -> Tensor:
    """`images` [B, C, Hs, Ws] read at `grid` [B, H, W, 2], bilinear or nearest; bytes are rounded to the nearest."""
    mode = "reflection" if fill == "mirror" else "border"
    reading = "nearest" if how.nearest else "bilinear"
    out = F.grid_sample(images.to(torch.float32), grid, mode=reading, padding_mode=mode, align_corners=False)
    if fill == "black":
        # Black starts beyond the border; interpolating with black would darken the border of every enlarged crop.
        beyond = (grid[..., 0].abs() > 1) | (grid[..., 1].abs() > 1)
        if bool(beyond.any()):
            out.masked_fill_(beyond[:, None], how.beyond)
    if images.dtype == torch.uint8:
        out.round_().clamp_(0, 255)
    return out.to(images.dtype)
