"""Captioners as networks of one row of outputs: logits of words of a caption, each after the words before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.inspect.regions import Summary
from striate.nets.kinds import Captioner


class _GivenWords(Summary):
    """A captioner that is given the words before each."""

    before: Tensor

    def __init__(self, net: nn.Module, before: Tensor) -> None:
        super().__init__(net)
        self.register_buffer("before", before, persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> logits [N, T, classes], each after the words before."""
        found: Tensor = self._whole[0](x, self.before.expand(len(x), -1))
        return found


class NextWordAfter(_GivenWords):
    """A captioner whose outputs are those of the next word after `before`, int64 [T]: images -> logits [N, classes].

    `before` begins with word 0; None: that alone. What explains an output of a classifier explains a word on it.
    """

    def __init__(self, net: nn.Module, before: Tensor | None = None) -> None:
        super().__init__(net, torch.zeros(1, dtype=torch.long) if before is None else before)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> logits [N, classes]."""
        return self.logits(x)[:, -1]


class SaidWords(_GivenWords):
    """A captioner whose outputs are those of the words of one caption, int64 [T], each after those before it: images
    -> logits [N, T]."""

    words: Tensor

    def __init__(self, net: nn.Module, words: Tensor) -> None:
        super().__init__(net, words_before(words))
        self.register_buffer("words", words, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> the logit of each word [N, T]."""
        logits = self.logits(x)
        return logits.gather(2, self.words.expand(len(x), -1).unsqueeze(2)).squeeze(2)


def words_before(words: Tensor) -> Tensor:
    """Of the words of a caption [T] the one before each: word 0 begins it."""
    return torch.cat([words.new_zeros(1), words[:-1]])


@torch.no_grad()
def attention_maps(net: Captioner, image: Tensor, words: Tensor) -> Tensor | None:
    """Where a captioner looks in an image [C, H, W] for each word [T] of a caption: its weights [T, h, w].

    The weights of a word sum to one. None: the network does not attend to places.
    Source: Xu et al. 2015, arXiv:1502.03044, section 3.1.2.
    """
    if not net.head.attends:
        return None
    return net.head.attention(net.features(image[None]), words_before(words)[None])[0]
