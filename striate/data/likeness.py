"""Near-duplicates: the same photograph saved again, resized, cropped a little, mirrored, made lighter or darker.

Each image leaves a print, a grey thumbnail made at its one decoding. Candidates are found by comparing the low
frequencies of all prints, block by block; each is then confirmed on the pixels of its two prints, laid over one another
at the best of a few crops. Small images are left alone: three quarters of MNIST's digits have such a neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST = 64  # pixels of an image's shorter side: below, likeness says nothing
LIMIT = 200_000  # prints: the time grows with their square, to about three minutes for these on two cores
SIDE = 32  # of a print, in pixels
_FREQUENCIES = 8  # of the cosine transform, per axis, that candidates are compared by
_CANDIDATE = 0.6
_CONFIRMED = 0.9
# Measured on the 597 photographs of hymenoptera and imagenet_samples: crops of 95 % agree to 0.88 or more (median 0.99),
# re-encodings, resizes and mirrored copies to 0.95 or more; of all 357,006 pairs of different photographs, mirrored ones
# included, none above 0.81. As candidates, corner crops reach 0.6 but for one in two hundred, and different photographs
# in one pair of 7,000.
_CELLS = 16  # per axis, of the grid that two prints are laid over one another on
_TEXTURE = 1.5  # grey levels: with less structure than this, only noise would be compared
_NEIGHBOURS = 16  # candidates an image is confirmed against at most, the likest first
_BLOCK, _BATCH = 2048, 256

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


def sketch(image: Image.Image, size: tuple[int, int]) -> tuple[float, bytes]:
    """The spread and the print of a decoded RGB image whose file says `size`.

    spread: the standard deviation of luma, 0 to 127.5. print: 32 x 32 grey values, row by row; b"" for small images.
    Both are measured on the image reduced to 64 to 127 pixels, so that they hardly depend on the scale of decoding.
    """
    reduction = min(image.size) // SMALLEST
    grey = (image.reduce(reduction) if reduction > 1 else image).convert("L")
    counts, values = np.array(grey.histogram(), np.float64), np.arange(256.0)
    share = counts / counts.sum()
    mean = float(share @ values)
    spread = float(share @ (values - mean) ** 2) ** 0.5
    if min(size) < SMALLEST:
        return spread, b""
    return spread, grey.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def near_groups(prints: Sequence[bytes], advance: Callable[[int], None] = lambda rows: None) -> list[list[int]]:
    """Groups of places whose prints are near-duplicates, of one another or of a third; each in order, singles left out.

    prints: of `sketch`; empty ones are like nothing. advance: told how many more have been compared with all others.
    Exact search: each pair is looked at once, in blocks of matrix products. Memory: some 100 bytes a print beside them.
    """
    places = np.array([place for place, content in enumerate(prints) if content], np.intp)
    if len(places) < 2:
        return []
    # Views of the prints' own bytes: nothing is copied until a pair is confirmed.
    thumbs = [np.frombuffer(prints[place], np.uint8).reshape(SIDE, SIDE) for place in places]
    first, second, mirrored = _candidates(_signatures(thumbs), advance)
    label = np.arange(len(places))
    for start in range(0, len(first), _BATCH):
        pairs = slice(start, start + _BATCH)
        apart = label[first[pairs]] != label[second[pairs]]  # what is known to belong together needs no more proof
        one, other, flip = first[pairs][apart], second[pairs][apart], mirrored[pairs][apart]
        for a, b in zip(one[(same := _confirmed(thumbs, one, other, flip))], other[same], strict=True):
            label[label == label[b]] = label[a]
    order = np.argsort(label, kind="stable")
    groups = np.split(places[order], np.flatnonzero(np.diff(label[order])) + 1)
    return sorted(group.tolist() for group in groups if len(group) > 1)


def _cosines(count: int, cells: int) -> Floats:
    """The first `count` rows of the orthonormal cosine transform (DCT-II) of `cells` values."""
    rows = np.cos(np.pi * np.arange(count)[:, None] * (np.arange(cells)[None] + 0.5) / cells) * (2 / cells) ** 0.5
    rows[0] /= 2**0.5
    return np.asarray(rows, np.float32)


def _signatures(thumbs: Sequence[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Low frequencies of each print, as unit vectors in two halves: even and odd along the width.

    Photographs' amplitudes fall with frequency; weighting each by its frequency lets all of them speak.
    """
    rows = _cosines(_FREQUENCIES, SIDE)
    steps = np.arange(_FREQUENCIES)
    weight = np.hypot(steps[:, None], steps[None]).astype(np.float32)
    found = np.empty((len(thumbs), _FREQUENCIES, _FREQUENCIES), np.float32)
    for start in range(0, len(thumbs), _BLOCK):
        block = np.stack(thumbs[start : start + _BLOCK]).astype(np.float32)
        found[start : start + _BLOCK] = rows @ block @ rows.T * weight
    norm = np.linalg.norm(found, axis=(1, 2), keepdims=True)
    found /= np.maximum(norm, 1e-6)
    found[norm[:, 0, 0] < _TEXTURE * SIDE] = 0  # like nothing, not even itself
    halves = [np.ascontiguousarray(found[:, :, half::2]).reshape(len(thumbs), -1) for half in (0, 1)]
    return halves[0], halves[1]


def _candidates(
    signatures: tuple[Floats, Floats], advance: Callable[[int], None]
) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Pairs whose signatures agree, and whether as mirror images; the likest first."""
    even, odd = signatures
    found = []
    for start in range(0, len(even), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found.append(_strongest(list(_alike(even, odd, rows))))
        advance(len(even[rows]))
    one, other, score, mirrored = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(-score, kind="stable")
    return one[order], other[order], mirrored[order]


Columns = tuple[Places, Places, Floats, NDArray[np.bool_]]


def _alike(even: Floats, odd: Floats, rows: slice) -> Iterator[Columns]:
    """For the prints of `rows`, those at or after them that are candidates: place, place, score, mirrored."""
    for start in range(rows.start, len(even), _BLOCK):
        columns = slice(start, start + _BLOCK)
        # A mirrored image has its odd half negated: the better of both agreements is even + |odd|.
        mirror = odd[rows] @ odd[columns].T
        score = even[rows] @ even[columns].T + np.abs(mirror)
        if start == rows.start:
            score[np.tril_indices(len(score))] = 0
        close = score > _CANDIDATE
        if close.sum() > _NEIGHBOURS * len(score) and score.shape[1] > _NEIGHBOURS:  # a folder of one motif
            floor = np.partition(score, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS, None]
            close &= score >= floor
        one, other = np.nonzero(close)
        yield one + rows.start, other + start, score[one, other], mirror[one, other] < 0


def _strongest(parts: list[Columns]) -> Columns:
    """At most `_NEIGHBOURS` candidates of each first place."""
    one, other, score, mirrored = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-score, one))
    one, other, score, mirrored = one[order], other[order], score[order], mirrored[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    kept = rank < _NEIGHBOURS
    return one[kept], other[kept], score[kept], mirrored[kept]


def _confirmed(
    thumbs: Sequence[NDArray[np.uint8]], one: Places, other: Places, mirrored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether each pair agrees on pixels: one of the two, cropped by up to a tenth, is the other."""
    if not len(one):
        return np.zeros(0, bool)
    a = np.stack([thumbs[place] for place in one]).astype(np.float32)
    b = np.stack([thumbs[place] for place in other]).astype(np.float32)
    b[mirrored] = b[mirrored, :, ::-1]
    return np.maximum(_agreement(a, b), _agreement(b, a)) >= _CONFIRMED


def _window(offset: float, share: float) -> Floats:
    """[cells, side]: averages over equal cells of the part of a row that begins at `offset` and is `share` long."""
    edges = (offset + share * np.arange(_CELLS + 1) / _CELLS) * SIDE
    pixels = np.arange(SIDE)[None]
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (inside.clip(0) / (edges[1:] - edges[:-1])[:, None]).astype(np.float32)


_WHOLE = _window(0, 1)
_WINDOWS = np.stack([_WHOLE, *(_window(o, 0.95) for o in (0, 0.025, 0.05)), *(_window(o, 0.9) for o in (0, 0.05, 0.1))])
# Three slow waves per axis are left out of the comparison: dark below and bright above is what photographs share.
_SLOW = np.einsum("iy,jx->ijyx", _cosines(3, _CELLS), _cosines(3, _CELLS)).reshape(9, -1)


def _agreement(cropped: Floats, whole: Floats) -> Floats:
    """The normalised correlation of each print of `cropped`, at its best crop, with all of `whole`."""
    target = (_WHOLE @ whole @ _WHOLE.T).reshape(len(whole), -1)
    target -= (target @ _SLOW.T) @ _SLOW
    target /= np.maximum(np.linalg.norm(target, axis=1, keepdims=True), _TEXTURE * _CELLS)
    down = _WINDOWS[None] @ cropped[:, None]  # [pairs, windows, cells, side]
    best = np.full(len(whole), -1, np.float32)
    for window in _WINDOWS:
        cells = (down @ window.T).reshape(len(whole), len(_WINDOWS), -1)
        along = np.einsum("pwc,pc->pw", cells, target)
        rest = np.einsum("pwc,pwc->pw", cells, cells) - ((cells @ _SLOW.T) ** 2).sum(axis=2)
        norm = np.sqrt(np.maximum(rest, (_TEXTURE * _CELLS) ** 2))
        best = np.maximum(best, (along / norm).max(axis=1))
    return best
