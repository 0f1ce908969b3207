"""Made-up photographs, for tests that need no real ones."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scene(kind: int, seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A made-up photograph: a soft background with grain; kind 0 holds discs, kind 1 bars."""
    generator = np.random.default_rng([kind, seed])
    width, height = size
    y, x = np.mgrid[:height, :width]
    image = np.stack(
        [generator.uniform(40, 200) + generator.uniform(-0.5, 0.5) * x + y * 0.2 for _ in range(3)], axis=-1
    )
    for _ in range(6):
        cx, cy, r = generator.uniform(0, width), generator.uniform(0, height), generator.uniform(4, 9)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r if kind == 0 else (abs(x - cx) < 3) & (abs(y - cy) < 4 * r)
        image[inside] = generator.uniform(0, 255, 3)
    image += generator.normal(0, 6, image.shape)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))
