"""The contract of a network that says in words what is in an image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.nets.check_subject import CLOSE, COUNT, Found, Subject, gap, refused
from striate.nets.kinds import Captioner


class CaptionerSubject(Subject):
    """A network that says in words what is in an image."""

    def outputs(self, count: int = COUNT) -> tuple[int, ...]:
        """The shape of the logits."""
        return (count, _captioner(self.net).head.limit, self.classes)

    def loss(self, outputs: Tensor) -> Tensor:
        """Cross-entropy over all words."""
        return nn.functional.cross_entropy(outputs.flatten(0, 1), torch.arange(outputs[..., 0].numel()) % self.classes)


def _captioner(net: nn.Module) -> Captioner:
    assert isinstance(net, Captioner)
    return net


def _teacher_forcing(subject: Subject) -> Found:
    net = _captioner(subject.seeded().eval())
    with torch.no_grad():
        maps = net.features(subject.images())
        greedy = net.head(maps)
        before = torch.cat([torch.zeros(len(maps), 1, dtype=torch.long), greedy.argmax(2)[:, :-1]], 1)
        forced = net.head(maps, before)
        changed = before.clone()
        changed[:, -1] = (changed[:, -1] + 1) % subject.classes
        others = net.head(maps, changed)
    if (far := gap(greedy, forced)) >= CLOSE:
        yield f"its own words, given to it, change its logits (by {far:.1g} of the largest)", "feed the word before"
    if not torch.equal(forced[:, :-1], others[:, :-1]):
        yield "logits depend on later words", "say words in one direction"
    if subject.classes > 1 and torch.equal(forced[:, -1], others[:, -1]):
        yield "the word before changes no logit", "let every step see it"


def _captions(subject: Subject) -> Found:
    net = _captioner(subject.seeded().eval())
    words = net.caption(subject.images())
    if words.shape != (COUNT, net.head.limit) or words.dtype != torch.long:
        yield f"captions of {COUNT} images are {words.dtype} {list(words.shape)}", "return int64 [N, limit]"
    elif not 0 <= int(words.min()) <= int(words.max()) < subject.classes:
        yield "captions have numbers that are no words", "return numbers below classes"


def _captioner_outputs(subject: Subject) -> Found:
    if subject.make is None:
        return
    for classes, channels in ((1, 1), (3, 4), (21, 3)):
        net = _captioner(subject.make(classes, channels, subject.size).eval())
        shape = list(net(subject.images(2, channels=channels)).shape)
        if shape != [2, net.head.limit, classes]:
            yield f"made for {classes} classes and {channels} channels, 2 images give {shape}", "let them decide it"


def _captioner_refusals(subject: Subject) -> Found:
    net, channels, (height, width) = subject.seeded().eval(), subject.in_channels, subject.size
    assert isinstance(net, Captioner)
    yield from refused(net, torch.zeros(1, channels + 1, height, width), f"images of {channels + 1} channels")
    if net.minimum_size > 1:
        least = net.minimum_size - 1
        yield from refused(net, torch.zeros(1, channels, least, width), f"images of a height of {least}")


CAPTIONER_CHECKS: dict[str, Callable[[Subject], Found]] = {
    "outputs": _captioner_outputs,
    "refusals": _captioner_refusals,
    "teacher forcing": _teacher_forcing,
    "captions": _captions,
}
