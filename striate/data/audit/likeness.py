"""Near-duplicates: the same photograph saved again, resized, cropped, turned, mirrored, made lighter or darker.

Each image has a print, a grey thumbnail made when it is decoded. Candidates are found by comparing the low
frequencies of all prints, block by block; each is then verified on the pixels of its two prints, aligned at the best
of a few crops. Copies that are turned or cropped further are searched by `striate.data.audit.turns`. What the images
of a folder have in common (a frame, black bars, the round field of an instrument) is projected out first: it is
estimated from the folder itself. Small images are not compared: three quarters of MNIST's digits have a near-identical
neighbour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from striate.data.audit.turns import CELLS, aligned, candidates, cosines, posed
from striate.data.audit.turns import SIDE as SIDE

SMALLEST = 64  # pixels of an image's shorter side: below, similarity is not meaningful
LIMIT = 200_000  # prints: the time to compare them grows faster than their number
_FREQUENCIES = 8  # of the cosine transform, per axis, that candidates are compared by
_CANDIDATE = 0.6
_SURE, _LIKELY, _CONFIRMED = 0.99, 0.85, 0.88
_ALONE = 0.95  # instead, if a folder is too small to estimate what its images have in common
# Measured on the 597 photographs of hymenoptera and imagenet_samples, against copies of each: as candidates, corner
# crops of 95 % reach 0.6 but for one in two hundred, and different photographs in one pair of 7,000. Without what is
# common, crops agree to 0.88 or more (median 0.98), re-encodings, resizes and mirrored copies to 0.95 or more, and of
# 357,006 pairs of different photographs none above 0.6. The same photographs in one white frame, in black bars or
# behind a round mask agree to 0.98, but to 0.86 at most without what they have in common, estimated from 20 of them.
_LEARNT = 20  # prints for each common component: as many as are needed for the first
_COMPONENTS = 8
_TEXTURE = 1.5  # grey levels: with less structure than this, only noise would be compared
_NEIGHBOURS = 16  # candidates verified per image, at most, the most similar first
_BLOCK, _BATCH = 2048, 256

Floats = NDArray[np.float32]
Places = NDArray[np.intp]
Thumbs = Sequence[NDArray[np.uint8]]
Pairs = tuple[Places, Places, NDArray[np.bool_]]  # place, place, whether as mirror images


def sketch(image: Image.Image, size: tuple[int, int]) -> tuple[float, bytes]:
    """The contrast and the print of a decoded RGB image of the original `size`.

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
    """Groups of indices of near-duplicates (connected components); each in order, without singletons.

    prints: of `sketch`; empty ones match nothing. advance: called with the number of further prints compared, each
    twice: as they are, and turned and cropped. Memory: about 800 more bytes per print.
    """
    places = np.array([place for place, content in enumerate(prints) if content], np.intp)
    if len(places) < 2:
        return []
    # Views of the prints' own bytes: nothing is copied until a pair is confirmed.
    thumbs = [np.frombuffer(prints[place], np.uint8).reshape(SIDE, SIDE) for place in places]
    pairs = _candidates(_signatures(thumbs), advance)
    label = np.arange(len(places))
    scores = _scored(thumbs, pairs, _SLOW, label, _SURE)
    _join_likely(thumbs, pairs, scores, label)
    with threadpool_limits(1, user_api="blas"):  # many small products: one thread each, several at a time
        _join_turned(thumbs, label, advance)
    order = np.argsort(label, kind="stable")
    groups = np.split(places[order], np.flatnonzero(np.diff(label[order])) + 1)
    return sorted(group.tolist() for group in groups if len(group) > 1)


def _signatures(thumbs: Thumbs) -> tuple[Floats, Floats]:
    """Low frequencies of each print, as unit vectors in two halves: even and odd along the width.

    The amplitudes of photographs decrease with frequency; weighting each by its frequency balances them.
    """
    rows = cosines(_FREQUENCIES, SIDE)
    steps = np.arange(_FREQUENCIES)
    weight = np.hypot(steps[:, None], steps[None]).astype(np.float32)
    found = np.empty((len(thumbs), _FREQUENCIES, _FREQUENCIES), np.float32)
    for start in range(0, len(thumbs), _BLOCK):
        block = np.stack(thumbs[start : start + _BLOCK]).astype(np.float32)
        found[start : start + _BLOCK] = rows @ block @ rows.T * weight
    norm = np.linalg.norm(found, axis=(1, 2), keepdims=True)
    found /= np.maximum(norm, 1e-6)
    found[norm[:, 0, 0] < _TEXTURE * SIDE] = 0  # matches nothing, not even itself
    halves = [np.ascontiguousarray(found[:, :, half::2]).reshape(len(thumbs), -1) for half in (0, 1)]
    return halves[0], halves[1]


def _candidates(signatures: tuple[Floats, Floats], advance: Callable[[int], None]) -> Pairs:
    """Pairs whose signatures agree, and whether as mirror images; the most similar first."""
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
    """At most `_NEIGHBOURS` candidates of each first index."""
    one, other, score, mirrored = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((-score, one))
    one, other, score, mirrored = one[order], other[order], score[order], mirrored[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    kept = rank < _NEIGHBOURS
    return one[kept], other[kept], score[kept], mirrored[kept]


def _scored(thumbs: Thumbs, pairs: Pairs, common: Floats, label: Places, enough: float) -> Floats:
    """How well each pair agrees on pixels; those that agree to `enough` get one label, in place.

    Pairs that have one label already are not compared, and score 0.
    """
    scores = np.zeros(len(pairs[0]), np.float32)
    for start in range(0, len(scores), _BATCH):
        batch = slice(start, start + _BATCH)
        apart = np.flatnonzero(label[pairs[0][batch]] != label[pairs[1][batch]]) + start
        if not len(apart):
            continue
        one, other, mirrored = (column[apart] for column in pairs)
        a, b = (np.stack([thumbs[place] for place in side]).astype(np.float32) for side in (one, other))
        b[mirrored] = b[mirrored, :, ::-1]
        scores[apart] = np.maximum(_agreement(a, b, common), _agreement(b, a, common))
        for first, second in zip(*(column[scores[apart] >= enough] for column in (one, other)), strict=True):
            label[label == label[second]] = label[first]
    return scores


def _join_likely(thumbs: Thumbs, pairs: Pairs, scores: Floats, label: Places) -> None:
    """Give one label, in place, to likely pairs that still agree without what the folder's images have in common."""
    _, originals = np.unique(label, return_index=True)  # a hundred copies of one image count once
    alone = len(originals) < _LEARNT  # their mean would be the pictures themselves
    likely = scores >= (_ALONE if alone else _LIKELY)
    if likely.any():
        one, other, mirrored = pairs
        common = _SLOW if alone else _common(thumbs, originals)
        enough = _ALONE if alone else _CONFIRMED
        _scored(thumbs, (one[likely], other[likely], mirrored[likely]), common, label, enough)


def _join_turned(thumbs: Thumbs, label: Places, advance: Callable[[int], None]) -> None:
    """Give one label, in place, to copies that are turned or cropped by up to 15 % a side."""
    _, originals = np.unique(label, return_index=True)
    alone = len(originals) < _LEARNT
    common, enough = (_SLOW, _ALONE) if alone else (_common(thumbs, originals), _CONFIRMED)
    found = candidates(lambda some: _stacked(thumbs[some]), len(thumbs), advance)
    for start in range(0, len(found.one), _BATCH):
        batch = np.arange(start, min(start + _BATCH, len(found.one)))
        batch = batch[label[found.one[batch]] != label[found.other[batch]]]
        if not len(batch):
            continue
        one, other = found.one[batch], found.other[batch]
        images = posed(_stacked([thumbs[place] for place in one]), found.pose[batch])
        whole = _in_cells(_stacked([thumbs[place] for place in other]))
        cells = aligned(images, whole, found.window[batch])
        score = (_without(cells, common) * _without(whole, common)).sum(axis=1)
        for first, second in zip(one[score >= enough], other[score >= enough], strict=True):
            label[label == label[second]] = label[first]


def _stacked(thumbs: Thumbs) -> Floats:
    return np.asarray(np.stack(thumbs), np.float32)


def _in_cells(thumbs: Floats) -> Floats:
    """Prints [n, side, side] as cells [n, cells * cells]."""
    return np.asarray((_WHOLE @ thumbs @ _WHOLE.T).reshape(len(thumbs), -1), np.float32)


def _without(cells: Floats, common: Floats) -> Floats:
    """The cells [n, cells * cells] without what is common, as unit vectors; shorter ones for little structure."""
    rest = cells - (cells @ common.T) @ common
    norm = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.asarray(rest / np.maximum(norm, _TEXTURE * CELLS), np.float32)


def _common(thumbs: Thumbs, places: Places) -> Floats:
    """What these prints have in common, as orthonormal rows [components, cells * cells].

    The slow waves, the mean, and the first principal components of the rest.
    """
    some = places[:: len(places) // 2000 + 1]
    cells = np.stack([(_WHOLE @ thumbs[place].astype(np.float32) @ _WHOLE.T).ravel() for place in some])
    cells -= (cells @ _SLOW.T) @ _SLOW
    cells /= np.maximum(np.linalg.norm(cells, axis=1, keepdims=True), _TEXTURE * CELLS)  # no picture counts for more
    mean = cells.mean(axis=0)
    cells -= mean
    count = min(_COMPONENTS, len(some) // _LEARNT)
    components = np.linalg.eigh(cells.T @ cells)[1][:, ::-1][:, :count]
    rows, _ = np.linalg.qr(np.concatenate([_SLOW.T, mean[:, None], components], axis=1))
    return np.ascontiguousarray(rows.T)


def _window(offset: float, share: float) -> Floats:
    """[cells, side]: averages over equal cells of the part of a row that begins at `offset` and is `share` long."""
    edges = (offset + share * np.arange(CELLS + 1) / CELLS) * SIDE
    pixels = np.arange(SIDE)[None]
    inside = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (inside.clip(0) / (edges[1:] - edges[:-1])[:, None]).astype(np.float32)


_WHOLE = _window(0, 1)
_WINDOWS = np.stack([_WHOLE, *(_window(o, 0.95) for o in (0, 0.025, 0.05)), *(_window(o, 0.9) for o in (0, 0.05, 0.1))])
# Three low frequencies per axis are projected out: photographs share dark lower and bright upper halves.
_SLOW = np.einsum("iy,jx->ijyx", cosines(3, CELLS), cosines(3, CELLS)).reshape(9, -1)


def _agreement(cropped: Floats, whole: Floats, common: Floats) -> Floats:
    """The normalised correlation of each print of `cropped`, at its best crop, with all of `whole`; -1 to 1.

    common: orthonormal rows [components, cells * cells] that are left out of both.
    """
    target = _without(_in_cells(whole), common)
    down = _WINDOWS[None] @ cropped[:, None]  # [pairs, windows, cells, side]
    best = np.full(len(whole), -1, np.float32)
    for window in _WINDOWS:
        cells = (down @ window.T).reshape(len(whole), len(_WINDOWS), -1)
        along = np.einsum("pwc,pc->pw", cells, target)
        rest = np.einsum("pwc,pwc->pw", cells, cells) - ((cells @ common.T) ** 2).sum(axis=2)
        norm = np.sqrt(np.maximum(rest, (_TEXTURE * CELLS) ** 2))
        best = np.maximum(best, (along / norm).max(axis=1))
    return best
