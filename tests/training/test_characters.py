"""Character models: the text is split at its end, learnt, and scored as one pass would score it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from striate.errors import RequestError
from striate.nets.build import create
from striate.training.characters import CONTEXT, bits_per_character, compressed_bits, corpus, train_characters

TEXT = "a net reads stripes. " * 120


def test_the_last_part_is_held_out_and_learnt_from_the_first() -> None:
    found = corpus(TEXT)
    letters = "".join(found.alphabet[one] for one in found.held_out.tolist())
    assert letters == TEXT[-252:] and len(found.training) + 252 == len(TEXT)
    torch.manual_seed(0)
    size = len(found.alphabet)
    net: Any = create("lstm_tiny", classes=size, in_channels=size, options={"units": 32})
    before = bits_per_character(net, found)
    trained = train_characters(net, found.training, epochs=6, batch=16, length=14, lr=3e-2)
    assert before > 3 and trained[0] > 1.5 and trained[-1] < 0.5 and bits_per_character(net, found) < 0.4
    assert compressed_bits(found, "lzma") < 0.5  # a text that repeats is short
    with pytest.raises(RequestError, match="2,268 symbols are too few for 50 streams of at least 100"):
        train_characters(net, found.training, batch=50)
    with pytest.raises(RequestError, match="a text of 9 characters is too short"):
        corpus("too short")


def test_bits_are_those_of_one_pass() -> None:
    torch.manual_seed(1)
    found = corpus(TEXT[:1500])
    net: Any = create("lstm_tiny", classes=len(found.alphabet), in_channels=len(found.alphabet)).eval()
    symbols = torch.cat([found.training[-CONTEXT - 1 :], found.held_out])[None]
    with torch.no_grad():
        chances = torch.log_softmax(net(symbols[:, :-1])[0], 1)
    wanted = -chances[range(CONTEXT, symbols.shape[1] - 1), symbols[0, CONTEXT + 1 :]] / math.log(2)
    assert len(wanted) == 150
    assert bits_per_character(net, found, streams=1, length=7) == pytest.approx(float(wanted.mean()), rel=1e-5)
    assert bits_per_character(net, found, streams=3) == pytest.approx(float(wanted.mean()), rel=0.02)
