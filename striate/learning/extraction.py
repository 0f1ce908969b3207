"""Feature extraction: one pass over a source, audited and run through a frozen backbone, cached by content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Usable
from striate.data.audit.looking import Memory, Record, look
from striate.data.sources.base import Item, Source
from striate.inference.choosing import choose_engine, open_engine
from striate.inference.engine import Engine, engine_version, in_batches
from striate.learning.caching import try_to_save
from striate.model import Model
from striate.pixels import Images
from striate.progress import Progress
from striate.transfer.features import FeatureCache
from striate.transfer.head import HeadData, fit_head

BFLOAT16_FROM = 1000  # images: from here on bfloat16 saves more time than checking its predictions takes
CHECKED = 256  # images that bfloat16 is checked on
AHEAD = 512  # crops that may be queued while the engine opens (150 kB each)


@dataclass(frozen=True)
class FeatureExtractor:
    """A frozen net and the engine that runs it.

    note: a line for the user about the engine, or "". layer: the stage whose feature map, averaged over space, is the
    feature; "" for the embedding.
    """

    backbone: Model
    engine: str
    precision: str
    note: str = ""
    layer: str = ""

    @property
    def described(self) -> str:
        """Engine, version and precision, in words."""
        return f"{self.engine} {engine_version(self.engine)}, {self.precision}"


def feature_extractor(backbone: Model, engine: str, precision: str, images: int) -> FeatureExtractor:
    """The engine and precision for a number of images; precision "auto" tries bfloat16 if it would save time."""
    name, note = choose_engine(engine)
    if precision == "auto":
        precision = "float32"
        if name == "openvino" and images >= BFLOAT16_FROM:
            from striate.inference.openvino_engine import has_bfloat16

            precision = "bfloat16" if has_bfloat16() else "float32"
    return FeatureExtractor(backbone, name, precision, note)


def extract(
    source: Source, extractor: FeatureExtractor, progress: Progress
) -> tuple[list[tuple[Item, Record]], FeatureCache]:
    """Records of all items, and a cache with the features of every usable image.

    The engine opens in parallel with the first decoding, and only if a feature is missing.
    """
    by = extractor
    memory, cache = Memory(source), FeatureCache(source, by.backbone, by.engine, by.precision, by.layer)
    pairs: list[tuple[Item, Record]] = []
    known = len(cache)

    def missing() -> Iterator[tuple[str, Images]]:
        """Each distinct image without a feature, once."""
        found: set[str] = set()
        for looked in look(source, extractor.backbone.pixels, wanted=lambda digest: digest not in cache, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
            if looked.crop is not None and looked.record.digest not in found:
                found.add(looked.record.digest)
                yield looked.record.digest, looked.crop

    with ThreadPoolExecutor(1) as opener, progress.bar("Reading the images", len(source.items)) as bar:
        engine = _OpeningEngine(extractor, opener, lambda: bar.note("opening the network"))
        for digest, row in in_batches(engine.run, engine.ahead(missing())):
            cache.add(digest, row)
    digests = [record.digest for _, record in pairs]
    if len(cache) > known:
        try_to_save(lambda: cache.save(digests), progress)
    try_to_save(lambda: memory.save(digests), progress)
    return pairs, cache


def _opened(extractor: FeatureExtractor, precision: str) -> Engine:
    if extractor.layer:
        from striate.inference.torch_engine import TorchEngine

        return TorchEngine(extractor.backbone, precision, extractor.layer)
    return open_engine(extractor.backbone, extractor.engine, precision, many=True)


class _OpeningEngine:
    """An engine that opens on a thread from the first crop on, while further images are decoded."""

    def __init__(self, extractor: FeatureExtractor, opener: ThreadPoolExecutor, on_wait: Callable[[], None]) -> None:
        self._extractor, self._opener, self._on_wait = extractor, opener, on_wait
        self._opening: Future[Engine] | None = None

    def ahead(self, crops: Iterable[tuple[str, Images]]) -> Iterator[tuple[str, Images]]:
        """The same crops; up to AHEAD of them are taken before the engine is open."""
        waiting: list[tuple[str, Images]] = []
        by = self._extractor
        for crop in crops:
            self._opening = self._opening or self._opener.submit(_opened, by, by.precision)
            waiting.append(crop)
            if self._opening.done() or len(waiting) >= AHEAD:
                yield from waiting
                waiting.clear()
        yield from waiting

    def run(self, crops: Images) -> NDArray[np.float32]:
        """The engine's output for uint8 crops [N, H, W, C], once it is open."""
        assert self._opening is not None  # there was a crop
        if not self._opening.done():
            self._on_wait()
        return self._opening.result().run(crops)


def checked_precision(source: Source, extractor: FeatureExtractor) -> FeatureExtractor:
    """The extractor, with float32 in place of bfloat16 if that would change the predictions on a sample of the images.

    Half of the sample, in float32, fits a head; the predictions of that head on the other half are compared.
    """
    if extractor.precision != "bfloat16":
        return extractor
    step = max(1, len(source.items) // CHECKED)
    looked = look(source, extractor.backbone.pixels, items=source.items[::step][:CHECKED])
    kept = [(one.item.target, one.crop) for one in looked if one.crop is not None]
    if len(kept) < 2:
        return extractor
    targets = source.task.collate(target for target, _ in kept)

    def features(precision: str) -> NDArray[np.float32]:
        engine = _opened(extractor, precision)
        return np.stack([row for _, row in in_batches(engine.run, ((0, crop) for _, crop in kept))])

    exact, fast = features("float32"), features("bfloat16")
    head = fit_head(HeadData(exact[::2], targets[::2], source.task))
    slow, quick = (source.task.predictions(rows[1::2] @ head.weight.T + head.bias) for rows in (exact, fast))
    agreed = source.task.agreement(slow, quick)
    if agreed.share >= 0.99 and agreed.difference <= 0.05:
        return extractor
    note = (
        f"bfloat16 changes the predictions (they agree on {100 * agreed.share:.1f} % of {len(slow)} images, "
        f"{agreed.what} differ by up to {agreed.difference:.3f}); float32 was used"
    )
    return dataclasses.replace(extractor, precision="float32", note=note)


def features_of(entries: list[Usable], cache: FeatureCache) -> NDArray[np.float32]:
    """The features [N, D] of usable images."""
    return cache.matrix(entry.record.digest for entry in entries)
