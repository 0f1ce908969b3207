"""Maps as pictures: values in two tones over a grey photograph, their scale in numbers, and rows of small maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from striate.report.thumbnails import Album
from striate.report.wording import text, words
from striate.sections import ColourScale, MapPicture, MapPictures, TileRows, Tiles, spoken
from striate.sections.wording import counted, quantity

SIDE = 240  # pixels of a picture, its longer side
TILE, GAP = 48, 3  # pixels of a small map, and between them
ABOVE, BELOW, OUTLINE = (200, 78, 24), (12, 104, 160), (226, 72, 28)  # in both colour schemes of a page
STRONGEST = 0.85  # how much of the photograph full colour hides

CSS = """
.wide + .charts { margin-top: 1.3rem }
.maps { display: flex; flex-wrap: wrap; gap: 1.2rem 1.4rem; margin: .6rem 0 1rem }
.maps figure { margin: 0; width: min(15rem, 100%) } .maps img { display: block; width: 100%; border-radius: 6px }
.maps img.tiny { image-rendering: pixelated } .maps figcaption { font-size: .9rem; line-height: 1.4; margin-top: .4rem }
.ramp { height: 9px; border-radius: 5px; margin-top: .5rem; border: 1px solid var(--line) }
.ramp.two { background: linear-gradient(90deg, rgb(12 104 160), #d9d9d4, rgb(200 78 24)) }
.ramp.one { background: linear-gradient(90deg, #d9d9d4, rgb(200 78 24)) }
.ramp-ends { display: flex; justify-content: space-between; gap: .6rem; color: var(--muted); font-size: .76rem;
  line-height: 1.3; font-variant-numeric: tabular-nums } .ramp-ends span:last-child { text-align: right }
.tiles { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: .3rem 1.2rem; align-items: center;
  border-top: 1px solid var(--line); padding: .5rem 0 } .tiles small { display: block; color: var(--muted) }
.tiles img { display: block; max-width: 100%; border-radius: 3px }
@media (max-width: 46rem) { .tiles { grid-template-columns: minmax(0, 1fr) } .maps figure { width: 100% } }
"""


def overlay(picture: MapPicture, longest: int = SIDE) -> NDArray[np.uint8]:
    """The picture, RGB [h, w, 3]: the values in colour over the image in grey, or the image with its box.

    Values are stretched corner to corner, bilinear. A small image is enlarged by whole pixels.
    """
    image = Image.fromarray(picture.image).convert("RGB")
    scale = longest / max(image.size)
    if scale >= 2:
        image = image.resize((image.width * int(scale), image.height * int(scale)), Image.Resampling.NEAREST)
    elif scale < 1:
        image = image.resize(_sized(image.size, scale), Image.Resampling.LANCZOS)
    if picture.box is not None:
        share = image.width / picture.image.shape[1]
        left, top, right, bottom = (round(side * share) for side in picture.box)
        ImageDraw.Draw(image).rectangle(
            (left, top, max(left, right - 1), max(top, bottom - 1)), outline=OUTLINE, width=3
        )
    if picture.values is None or picture.scale is None:
        return np.asarray(image)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    stretched = Image.fromarray(np.ascontiguousarray(picture.values, np.float32)).resize(
        image.size, Image.Resampling.BILINEAR
    )
    part = np.clip(np.asarray(stretched)[..., None] / (picture.scale.limit or 1), -1, 1)
    colour = np.where(part > 0, np.array(ABOVE, np.float32), np.array(BELOW, np.float32))
    alpha = STRONGEST * np.abs(part)
    pale = 64 + 0.75 * grey  # so that both tones differ from dark parts of the photograph
    return np.round(pale * (1 - alpha) + colour * alpha).astype(np.uint8)


def _sized(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def tiled(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Maps [T, h, w] side by side in grey [TILE, W]: black is the lowest value of all, white the highest."""
    low, high = float(maps.min()), float(maps.max())
    grey = np.clip((maps - low) / (high - low or 1) * 255, 0, 255).astype(np.uint8)
    height, width = maps.shape[1:]
    sides = _sized((width, height), TILE / max(height, width))
    sheet = Image.new("L", (len(maps) * (sides[0] + GAP) - GAP, sides[1]), 128)
    for place, one in enumerate(grey):
        filter_ = Image.Resampling.NEAREST if max(height, width) < TILE else Image.Resampling.BOX
        sheet.paste(Image.fromarray(one).resize(sides, filter_), (place * (sides[0] + GAP), 0))
    return np.asarray(sheet)


def pictures(block: MapPictures, album: Album) -> str:
    """The pictures that there is room for, and how many there is none for."""
    shown = [figure for one in block.pictures if (figure := _figure(one, album))]
    left = len(block.pictures) - len(shown)
    more = f'<p class="quiet">No room for {counted(left, "more picture")}.</p>' if left else ""
    return f'<div class="maps">{"".join(shown)}</div>{more}' if shown else more


def _figure(picture: MapPicture, album: Album) -> str:
    address = album.address(overlay(picture), SIDE)
    if not address:
        return ""
    said = f"<figcaption>{words(picture.caption)}</figcaption>" if picture.caption else ""
    ramp = _ramp(picture.scale) if picture.values is not None and picture.scale is not None else ""
    tiny = ' class="tiny"' if max(picture.image.shape[:2]) <= SIDE // 2 else ""
    alt = text(spoken(picture.caption))
    return f'<figure><img{tiny} alt="{alt}" src="{address}">{ramp}{said}</figure>'


def _ramp(scale: ColourScale) -> str:
    """The scale in numbers: at both ends what they mean, 0 in the middle or at the left."""
    limit, unit = text(quantity(scale.limit, 2)), text(scale.unit)
    right = f"<span>{text(scale.above)}<br>{limit} {unit}</span>"
    if not scale.below:
        return f'<div class="ramp one"></div><div class="ramp-ends"><span>0</span>{right}</div>'
    left = f"<span>{text(scale.below)}<br>\u2212{limit} {unit}</span>"
    return f'<div class="ramp two"></div><div class="ramp-ends">{left}<span>0</span>{right}</div>'


def tile_rows(block: TileRows, album: Album) -> str:
    """One row a layer: its name, what is said of it, and its maps."""
    return "".join(_row(row, album) for row in block.rows)


def _row(row: Tiles, album: Album) -> str:
    sheet = tiled(row.maps)
    address = album.address(sheet, max(sheet.shape)) if row.maps.size else ""
    said = f"<b>{text(row.name)}</b><small>{words(row.words)}</small>"
    picture = f'<img alt="{text(row.name)}" src="{address}">' if address else ""
    return f'<div class="tiles"><div>{said}</div><div>{picture}</div></div>'
