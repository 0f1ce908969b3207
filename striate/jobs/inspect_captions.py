"""What a captioner gives for an image: its caption, and for each word where it looks and what covering takes away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.occlusion import Occlusion, occlusions
from striate.inspect.said_words import SaidWords, attention_maps, words_before
from striate.nets.kinds import Captioner, sayable
from striate.pixels import Images
from striate.sections import Block, ColourScale, Heading, MapPicture, MapPictures, Strong, Text
from striate.sections.wording import percent
from striate.tasks.words import caption_of


@dataclass(frozen=True, eq=False)
class CaptionMaps:
    """The caption of an image, word by word.

    numbers int64 [T]: of the words in the vocabulary, the one that ends the caption left out; words: these.
    probabilities [T]: of each after those before it, among the words that can be said. place: of the word that is
    explained. attention [T, h, w]: the network's own weights of the places of its map, those of a word sum to one;
    None: it does not attend to places. occlusion: what each word's logit loses; None: not asked for.
    """

    numbers: NDArray[np.int64]
    words: tuple[str, ...]
    probabilities: NDArray[np.float32]
    place: int
    attention: NDArray[np.float32] | None
    occlusion: list[Occlusion] | None

    @property
    def explained(self) -> int:
        """The number of the word that is explained."""
        return int(self.numbers[self.place])

    @property
    def before(self) -> Tensor:
        """The words before the explained one, with the one that begins a caption."""
        return words_before(torch.from_numpy(self.numbers))[: self.place + 1]


@torch.no_grad()
def caption_maps(
    net: Captioner, coarse: nn.Module, image: Tensor, names: Sequence[str], wanted: int | None, *, covered: bool
) -> CaptionMaps:
    """The caption of an image [C, H, W] by the network's search, and its maps.

    coarse: the network or a copy of it in fewer digits, for occlusion, if `covered`. wanted: the word to explain, where
    it is said first; None: the one whose logit falls most when the whole image is covered.
    Raises RequestError for an image without words, or without the wanted word.
    """
    said = net.caption(image[None])[0]
    caption = caption_of(said.numpy(), names)
    said = said[: len(caption.split())]
    if not len(said):
        raise RequestError("the model says no words, so there is none to explain")
    if wanted is not None and wanted not in said:
        raise RequestError(f"the caption is {caption!r}, which does not have the word {names[wanted]!r}")
    alone, covers = SaidWords(net, said), torch.stack([image, torch.zeros_like(image)])
    likely = sayable(alone.logits(image[None])[0]).softmax(1)
    if not likely.isfinite().all():
        raise RequestError("the outputs of the model are NaN or infinite")
    whole, empty = alone(covers)
    place = int((whole - empty).argmax()) if wanted is None else said.tolist().index(wanted)
    looks = attention_maps(net, image, said)
    return CaptionMaps(
        said.numpy(),
        tuple(names[number] for number in said.tolist()),
        likely[torch.arange(len(said)), said].numpy(),
        place,
        None if looks is None else looks.numpy(),
        occlusions(SaidWords(coarse, said), image, range(len(said))) if covered else None,
    )


def about(maps: CaptionMaps) -> str:
    """What is explained, in words; plain text, as a terminal shows it."""
    word, before = maps.words[maps.place], " ".join(maps.words[: maps.place])
    return f"{word!r}: its logit " + (f"after {before!r}" if before else "as the first word")


def caption_pictures(
    maps: CaptionMaps, crop: Images, attention: ColourScale, covered: ColourScale
) -> list[tuple[str, MapPicture]]:
    """Of each word the map of attention, then of each word that of occlusion, by their names."""
    found = []
    if maps.attention is not None:
        for place, (word, values) in enumerate(zip(maps.words, maps.attention, strict=True)):
            said = (Strong(word), f", probability {percent(float(maps.probabilities[place]))}")
            found.append((f"attention {place + 1} {word}", MapPicture(crop, said, values, attention)))
    for place, (word, lost) in enumerate(zip(maps.words, maps.occlusion or (), strict=False)):
        said = (Strong(word), f", probability {percent(float(maps.probabilities[place]))}")
        found.append((f"occlusion {place + 1} {word}", MapPicture(crop, said, lost.pixels, covered)))
    return found


def caption_blocks(maps: CaptionMaps, crop: Images, attention: ColourScale, covered: ColourScale) -> list[Block]:
    """The part of the page about one image's caption."""
    shown = caption_pictures(maps, crop, attention, covered)
    blocks: list[Block] = []
    for kind, title, lead in (
        ("attention", "Where does it look for each word?", _attention_lead(maps)),
        ("occlusion", "What does each word lose when a patch is covered?", _occlusion_lead(maps)),
    ):
        pictures = tuple(picture for name, picture in shown if name.startswith(kind))
        if pictures:
            blocks += [Heading(title), Text(lead, "quiet"), MapPictures(pictures)]
    return [*blocks, Text(f"Explained below is {about(maps)}.")]


def _attention_lead(maps: CaptionMaps) -> str:
    if maps.attention is None:
        return ""
    height, width = maps.attention.shape[1:]
    even = percent(1 / (height * width))
    return (
        f"The network's own weights of the {height} \u00d7 {width} places of its map, stretched over the image. Those "
        f"of a word sum to 100 %; without a preference each place would have {even}."
    )


def _occlusion_lead(maps: CaptionMaps) -> str:
    if not maps.occlusion:
        return ""
    height, width = maps.occlusion[0].patch
    return (
        "The logit of each word after the words before it, which stay: less that with a patch of "
        f"{width} \u00d7 {height} pixels covered."
    )


def caption_facts(maps: CaptionMaps) -> dict[str, Any]:
    """The numbers as JSON values."""
    rows = []
    for place, word in enumerate(maps.words):
        row: dict[str, Any] = {"word": word, "probability": float(maps.probabilities[place])}
        if maps.attention is not None:
            row["attention"] = maps.attention[place].tolist()
        if maps.occlusion is not None:
            row["occlusion"] = maps.occlusion[place].values.tolist()
        rows.append(row)
    return {"words": rows, "explained_word": maps.place + 1}
