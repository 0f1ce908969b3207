"""The interfaces of networks that are no image classifiers: one class for each other kind of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.beam import beam_candidates
from striate.nets.base import Network, under_tracer


class Segmenter(Network):
    """A network that gives a class for each pixel.

    forward: images [N, in_channels, H, W] -> logits [N, classes, H / stride, W / stride]. H and W must be multiples of
    `multiple`; `stride` is 1 for logits as large as the image. The loss is cross-entropy over pixels.
    """

    kind = "segmenter"
    multiple: int
    stride: int = 1

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts."""
        super().check(x)
        _check_multiple(self, x, self.multiple)


class Detector(Network):
    """A network that finds objects: it gives rows, each with a box and the classes of what is in it.

    forward: images [N, in_channels, H, W] -> outputs [N, rows, 9 + classes], whose rows and columns are those of
    `striate.tasks.detection_arrays`: a detector of one stage has places, one of two regions and anchors. The task's
    loss and its detections follow from them. H and W must be multiples of the coarsest of `strides`.

    maps: images -> the maps that `head` takes, by the names of their stages; `head` gives the outputs, so that the
    stages below it can be frozen and their maps computed once.
    """

    kind = "detector"
    head: nn.Module
    strides: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> outputs [N, rows, 9 + classes]."""
        return self.finished(self.head(self.maps(x)), x.shape[2], x.shape[3])

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images [N, in_channels, H, W] -> the maps that the head takes, by stage, the finest first."""
        raise NotImplementedError

    @staticmethod
    def finished(outputs: Tensor, height: int, width: int) -> Tensor:
        """The head's outputs, which are shares of the image's sides already."""
        return outputs

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts."""
        super().check(x)
        _check_multiple(self, x, max(self.strides))

    def rows(self, height: int, width: int) -> int:
        """How many rows there are for an image of that size: one for each place of each level."""
        return sum((height // stride) * (width // stride) for stride in self.strides)


def _check_multiple(net: Network, x: Tensor, multiple: int) -> None:
    if not under_tracer(x) and any(side % multiple for side in x.shape[2:]):
        given = f"{x.shape[2]} x {x.shape[3]}"
        raise RequestError(f"{net.name} needs sides that are multiples of {multiple} pixels, not {given}")


class SequenceModel(Network):
    """A network that reads symbols one after another and gives, after each, logits of the next.

    forward: symbols [N, T], whole numbers below `in_channels` -> logits [N, T, classes], from the state of the start.
    run: the same from any `state`, and the state after the last symbol, with which the sequence is continued:
    `run` of two parts, one after the other, gives what `forward` gives for the whole. States are nested tuples of
    tensors [N, units]; None is that of the start, zeros.
    """

    kind = "sequence-model"
    minimum_size = 1

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbols [N, T] -> logits [N, T, classes]. Raises RequestError for other shapes, or a symbol out of range."""
        return self.run(symbols)[0]

    def run(self, symbols: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Symbols [N, T] and a state -> logits [N, T, classes] and the state after them."""
        raise NotImplementedError

    def example(self, count: int, size: Sequence[int]) -> Tensor:
        """A batch of `count` sequences without values; `size` is (1, length)."""
        return torch.empty(count, size[1], dtype=torch.long, device="meta")

    def check(self, symbols: Tensor) -> None:
        """Raise RequestError unless these are symbols [N, T] that the network knows."""
        if under_tracer(symbols):
            return
        if symbols.ndim != 2 or symbols.dtype != torch.long or symbols.shape[1] < 1:
            given = f"{symbols.dtype} {list(symbols.shape)}".removeprefix("torch.")
            raise RequestError(f"{self.name} takes symbols [N, T] of int64, not {given}")
        if (
            not symbols.is_meta
            and symbols.numel()
            and not 0 <= int(symbols.min()) <= int(symbols.max()) < self.in_channels
        ):
            raise RequestError(f"{self.name} has the symbols 0 to {self.in_channels - 1}")


class SelfOrganising(Network):
    """A network that learns features of images by a rule of its own: without labels, a loss or gradients.

    forward: images [N, in_channels, H, W], values of at least 0 -> responses [N, C, h, w], at least 0.
    learn: one image is presented, and the weights of the cells that respond most are reinforced. Weights are parameters
    that need no gradient, so that they are counted, saved and loaded as those of other networks.
    """

    kind = "self-organising"

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> the responses of the last stage [N, C, h, w]."""
        return self.maps(x)[self.stages[-1]]

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images [N, in_channels, H, W] -> the responses of each stage by its name, in order."""
        self.check(x)
        found: dict[str, Tensor] = {}
        for stage in self.stages:
            found[stage] = x = getattr(self, stage)(x)
        return found

    def learn(self, image: Tensor) -> None:
        """Present one image [in_channels, H, W] and reinforce what responds to it."""
        raise NotImplementedError


class WordDecoder(nn.Module):
    """Maps of images -> the words of their captions, one after another. Word 0 begins a caption and ends it.

    `start` gives the state before the first word, tensors [N, ...]; `step` takes a word [N] and a state, and gives
    logits of the next word [N, classes] and the next state. `limit` is the largest number of words. `attends`: each
    step sees the places of the map by weights of their own, which `looks` gives.
    """

    limit: int
    attends: bool = False

    def reduced(self, maps: Tensor) -> Tensor:
        """What it takes of maps [N, c, h, w], in the same form: all, unless a decoder takes less."""
        return maps

    def start(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Maps [N, c, h, w] -> the state before the first word."""
        raise NotImplementedError

    def step(self, words: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Words [N] and a state -> logits of the next word [N, classes], and the next state."""
        raise NotImplementedError

    def looks(self, state: tuple[Tensor, ...]) -> Tensor:
        """The weights [N, h * w] of the map's places in the step from `state`; of decoders that attend."""
        raise NotImplementedError

    def attention(self, maps: Tensor, before: Tensor) -> Tensor:
        """Where a decoder that attends looks for each word, after the words `before` [N, T]: weights [N, T, h, w].

        The weights of a word sum to one.
        """
        state, looks = self.start(maps), list[Tensor]()
        for place in range(before.shape[1]):
            looks.append(self.looks(state))
            _, state = self.step(before[:, place], state)
        stacked = torch.stack(looks, 1)
        return stacked.view(*stacked.shape[:2], *maps.shape[2:])

    def forward(self, maps: Tensor, before: Tensor | None = None) -> Tensor:
        """Maps [N, c, h, w] -> logits [N, T, classes], each after the words before.

        before: int64 [N, T], the words before each, which begin with 0 (teacher forcing). None: each is the most
        probable one after those before it, `limit` of them.
        """
        state, logits = self.start(maps), list[Tensor]()
        word = torch.zeros_like(maps[:, 0, 0, 0], dtype=torch.long)
        for place in range(self.limit if before is None else before.shape[1]):
            if before is not None:
                word = before[:, place]
            one, state = self.step(word, state)
            logits.append(one)
            word = one.argmax(1)
        return torch.stack(logits, 1)


class Captioner(Network):
    """A network that says in words what is in an image.

    forward: images [N, in_channels, H, W] -> logits [N, limit, classes] of each word of the caption, after the most
    probable words before it, or after given ones. Word 0 ends a caption, word 1 stands for unknown ones. `features`
    are the last map of the stages, `head` is a WordDecoder, and `beam` the width of the search in `caption`.
    """

    kind = "captioner"
    head: WordDecoder
    beam: int

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        """Images -> logits [N, T, classes]; before: as of WordDecoder."""
        logits: Tensor = self.head(self.features(x), before)
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> the last map [N, c, h, w]."""
        self.check(x)
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return x

    def caption(self, x: Tensor) -> Tensor:
        """Images -> the words of the most probable caption that the beam search finds: int64 [N, limit]."""
        return self.candidates(x)[0][:, 0]

    def candidates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images -> all captions in the beam, the most probable first: see `beam_candidates`."""

        def known(words: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
            logits, state = self.head.step(words, state)
            return sayable(logits), state

        maps = self.features(x)
        return beam_candidates(known, self.head.start(maps), limit=self.head.limit, beam=self.beam)


def sayable(logits: Tensor) -> Tensor:
    """Logits [..., classes] of words without word 1, which stands for unknown ones and is never said."""
    if logits.shape[-1] < 2:
        return logits
    return logits.index_fill(-1, torch.ones(1, dtype=torch.long, device=logits.device), -torch.inf)
