"""Pictures of a section as HTML: in a grid, in a row, and what there is no room for."""

from __future__ import annotations

from collections.abc import Sequence

from striate.report.thumbnails import Album
from striate.report.wording import folded_list, text, words
from striate.sections import Gallery, Neighbours, Picture, Strip, spoken
from striate.sections.wording import counted

MOST = 24  # pictures in one gallery

CSS = """
.strips { display: flex; flex-wrap: wrap; gap: .7rem; padding: .7rem 0 } .strips figure { margin: 0; width: 8.4rem }
.strips figcaption { font: .74rem/1.35 var(--mono); color: var(--muted) } .strips .frame { height: 116px }
.view { margin-top: 1.1rem } .quiet + .view { margin-top: .7rem } .view p { margin: .35rem 0 0; font-size: .9rem }
.view small { color: var(--muted); font: .74rem/1.35 var(--mono); margin-left: .6em }
.near { display: grid; grid-template-columns: 8.6rem minmax(0, 1fr); gap: 0 1.6rem; padding: 1.1rem 0;
  border-top: 1px solid var(--line) } .near:first-of-type { border-top: 0 } .near figure { margin: 0; min-width: 0 }
.near > figure { border-right: 1px solid var(--line); padding-right: 1.4rem }
.near .row { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.4rem, 1fr)); gap: 1rem .9rem }
.near figcaption { font-size: .85rem; line-height: 1.35; font-variant-numeric: tabular-nums }
.near small { color: var(--muted); display: block; font: .7rem/1.35 var(--mono) } .near .frame { height: 116px }
.near .first { box-shadow: inset 0 0 0 2px rgb(var(--good) / .55) }
@media (max-width: 46rem) { .near { grid-template-columns: minmax(0, 1fr); gap: .9rem }
  .near > figure { border-right: 0; padding-right: 0 }
  .near .row { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .8rem .5rem }
  .near .row .frame { height: auto; aspect-ratio: 1 } .near .row .frame img { max-width: 92%; max-height: 92% } }
"""


def gallery(block: Gallery, album: Album) -> str:
    """The pictures, at most MOST; how many are not shown, or a folded list of them."""
    shown: list[str] = []
    left: list[Picture] = []
    for picture in block.pictures:
        photo = _photo(picture, album, block.small) if len(shown) < MOST else ""
        if photo:
            shown.append(photo)
        else:
            left.append(picture)
    if not block.listed:
        total = len(block.pictures) if block.total is None else block.total
        return photos(shown, total, block.noun, small=block.small)
    grid = f'<div class="photos{" small" if block.small else ""}">{"".join(shown)}</div>' if shown else ""
    rows = [f"<code>{text(one.path)}</code>: {words(one.caption)}" for one in left]
    return grid + (folded_list(counted(len(rows), f"more {text(block.noun)}"), rows) if rows else "")


def photos(shown: Sequence[str], total: int, noun: str = "image", small: bool = False) -> str:
    """Figures side by side, and how many of `total` are not shown."""
    left = total - len(shown)
    if not shown:
        return f'<p class="quiet">No pictures of {counted(total, text(noun))} are saved.</p>' if total else ""
    more = f'<p class="quiet">{counted(left, f"more {text(noun)}")} not shown.</p>' if left > 0 else ""
    return f'<div class="photos{" small" if small else ""}">{"".join(shown)}</div>{more}'


def _photo(picture: Picture, album: Album, small: bool) -> str:
    alt = text(spoken(picture.caption))
    return album.photo(picture.image, alt, words(picture.caption), text(picture.path), small)


def strip(block: Strip, album: Album) -> str:
    """A row of small pictures: each with its file, or all under one caption."""
    if block.caption or block.path:
        alt = text(spoken(block.caption))
        frames = "".join(
            album.frame(one.image, alt, small=True, mark="first" if block.framed and not place else "")
            for place, one in enumerate(block.pictures)
        )
        below = f"<p><b>{words(block.caption)}</b><small>{text(block.path)}</small></p>"
        return frames and f'<div class="view"><div class="strip">{frames}</div>{below}</div>'
    shown = "".join(_captioned(one, album) for one in block.pictures)
    return shown and f'<div class="strips">{shown}</div>'


def _captioned(picture: Picture, album: Album) -> str:
    framed = album.frame(picture.image, text(spoken(picture.caption)), small=True)
    return framed and f"<figure>{framed}<figcaption>{text(picture.path)}</figcaption></figure>"


def neighbours(block: Neighbours, album: Album) -> str:
    """The query on the left, above what was found on a narrow screen."""
    found = "".join(_near(one, album) for one in block.found)
    return f'<div class="near">{_near(block.query, album, "first")}<div class="row">{found}</div></div>'


def _near(picture: Picture, album: Album, mark: str = "") -> str:
    """A picture with its caption and file, which stand there where it has no room, too."""
    framed = album.frame(picture.image, text(spoken(picture.caption)), mark=mark)
    said = f"{words(picture.caption)}<small>{text(picture.path)}</small>"
    return f"<figure>{framed}<figcaption>{said}</figcaption></figure>"
