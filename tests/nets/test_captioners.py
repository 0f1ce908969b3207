"""Captioners: the beam search against all sequences, teacher forcing, and what attention attends to."""

from __future__ import annotations

import itertools

import pytest
import torch

from striate import RequestError, create
from striate.layers.beam import beam_search
from striate.nets.kinds import Captioner


@pytest.mark.parametrize("name", ["nic_lite_tiny", "show_attend_tell_lite_tiny"])
def test_a_wide_beam_finds_the_most_probable_of_all_sequences(name: str) -> None:
    torch.manual_seed(3)
    net = create(name, classes=4, options={"limit": 3, "units": 8, "embedding": 8, "beam": 40}).eval()
    assert isinstance(net, Captioner)
    for parameter in net.head.parameters():
        parameter.data.mul_(4)  # probabilities far from each other
    images = torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        maps = net.features(images)
        # Every sequence that ends with word 0, or has three words; its logarithm of the probability, word by word.
        every = [words for words in itertools.product(range(4), repeat=3)
                 if all(later == 0 for at, word in enumerate(words) if word == 0 for later in words[at:])]  # fmt: skip
        totals = torch.zeros(len(images), len(every))
        for place, words in enumerate(every):
            before = torch.tensor([[0, *words[:2]]] * len(images))
            gains = net.head(maps, before).log_softmax(2)
            said = words[: words.index(0) + 1] if 0 in words else words
            totals[:, place] = sum(gains[:, at, word] for at, word in enumerate(said))
        best = torch.tensor([every[place] for place in totals.argmax(1).tolist()])
        found, scores = beam_search(net.head.step, net.head.start(maps), limit=3, beam=40)
        greedy, lower = beam_search(net.head.step, net.head.start(maps), limit=3, beam=1)
    assert torch.equal(found, best)
    torch.testing.assert_close(scores, totals.max(1).values)
    assert (lower <= scores + 1e-6).all()
    likely = net.head(maps).argmax(2)
    for row, words in enumerate(likely.tolist()):
        ends = words.index(0) + 1 if 0 in words else 3
        assert greedy[row, :ends].tolist() == words[:ends] and not greedy[row, ends:].any()
    assert not (net.caption(images) == 1).any()  # an unknown word is never said


def test_the_image_is_shown_once_and_attention_sees_its_places() -> None:
    torch.manual_seed(0)
    for name, places_matter in (("nic_lite_tiny", False), ("show_attend_tell_lite_tiny", True)):
        net = create(name).eval()
        assert isinstance(net, Captioner)
        for parameter in net.head.parameters():
            parameter.data.mul_(3)
        maps = torch.randn(2, net.features(torch.zeros(1, 3, 64, 64)).shape[1], 2, 2)
        before = torch.tensor([[0, 2, 3]] * 2)
        with torch.no_grad():
            moved = maps.clone()
            moved[:, :, 0, 0] += 1  # the mean stays
            moved[:, :, 1, 1] -= 1
            changed = not torch.allclose(net.head(maps, before), net.head(moved, before), atol=1e-4)
        assert changed is places_matter


def test_decoders_of_no_size_are_refused() -> None:
    for options, told in (({"beam": 0}, "beam must be at least 1"), ({"limit": 1000}, "at most 100"),
                          ({"units": 0}, "units must be at least 1")):  # fmt: skip
        with pytest.raises(RequestError, match=told):
            create("nic_lite_tiny", options=options)
