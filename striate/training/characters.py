"""Character models: a text as symbols, truncated backpropagation through time, and bits per character.

Source: Ha, Dai, Le 2016, arXiv:1609.09106, section 4.3: Adam, clipped gradients, states carried on between updates.
"""

from __future__ import annotations

import bz2
import lzma
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import Diverged, RequestError

CONTEXT = 100  # symbols that are read before the first one that is scored
COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {"bz2": bz2.compress, "lzma": lzma.compress}


class CharacterNet(Protocol):
    """A module that reads symbols and predicts the next ones, as those of `striate.nets.kinds.SequenceModel`."""

    def run(self, symbols: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Symbols [N, T] and a state (None: the start) -> logits [N, T, classes] and the state after them."""
        ...


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as symbols, whose last part is held out. alphabet: its characters, in order of their numbers.

    training, held_out: int64 [n].
    """

    alphabet: str
    training: Tensor
    held_out: Tensor


def corpus(text: str, *, held_out: float = 0.1) -> Corpus:
    """A text as symbols: its last part, the share `held_out`, is for evaluation.

    Raises RequestError for a share outside (0, 1), and for a text too short to have `CONTEXT` + 2 characters in each.
    """
    if not 0 < held_out < 1:
        raise RequestError(f"held_out is a share between 0 and 1, not {held_out}")
    alphabet = "".join(sorted(set(text)))
    place = {character: number for number, character in enumerate(alphabet)}
    symbols = torch.tensor([place[character] for character in text], dtype=torch.long)
    first = round(len(text) * (1 - held_out))
    if min(first, len(text) - first) < CONTEXT + 2:
        raise RequestError(f"a text of {len(text):,} characters is too short: each part needs {CONTEXT + 2}")
    return Corpus(alphabet, symbols[:first], symbols[first:])


def train_characters(
    net: CharacterNet,
    symbols: Tensor,
    *,
    epochs: int = 1,
    batch: int = 32,
    length: int = 100,
    lr: float = 1e-3,
    clip_norm: float = 1.0,
) -> list[float]:
    """Train a character model in place by Adam; gives the mean training bits per character of each epoch.

    symbols [n] are cut into `batch` streams, read side by side. Each update is on the next `length` symbols of all
    streams, from the states after those before (truncated backpropagation through time); an epoch begins with zeros.
    clip_norm: largest norm of the gradient. Dropout draws from torch's generator, which the caller seeds.
    Raises RequestError for a text that is too short for the batch, Diverged for a loss that is not finite.
    """
    assert isinstance(net, nn.Module)
    size = (len(symbols) - 1) // max(1, batch)
    if min(epochs, batch, length) < 1 or size < length:
        raise RequestError(f"{len(symbols):,} symbols are too few for {batch} streams of at least {length}")
    symbols = symbols.to(next(net.parameters()).device)
    inputs, targets = (symbols[start : start + batch * size].view(batch, size) for start in (0, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr)
    net.train()
    means = []
    for _ in range(epochs):
        state, total = None, 0.0
        for start in range(0, size - length + 1, length):
            logits, state = net.run(inputs[:, start : start + length], _detached(state))
            loss = F.cross_entropy(logits.flatten(0, 1), targets[:, start : start + length].flatten())
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), clip_norm)
            optimizer.step()
            total += float(loss.detach())
        mean = total / (size // length) / math.log(2)
        if not math.isfinite(mean):
            raise Diverged("the loss of the character model is not finite: choose a smaller learning rate")
        means.append(mean)
    return means


@torch.no_grad()
def bits_per_character(net: CharacterNet, found: Corpus, *, streams: int = 32, length: int = 100) -> float:
    """Bits per character of the held-out part: the mean of -log2 of the probability that the model gave each one.

    The part is cut into streams, read side by side; each begins after the `CONTEXT` symbols before it, which are not
    scored, so that all have a context. The last few symbols, that fill no stream, are left out.
    """
    assert isinstance(net, nn.Module)
    symbols = torch.cat([found.training[-CONTEXT - 1 :], found.held_out]).to(next(net.parameters()).device)
    size = len(found.held_out) // streams
    if size < 1:
        streams, size = 1, len(found.held_out)
    rows = torch.stack([symbols[size * one : size * one + size + CONTEXT + 1] for one in range(streams)])
    was_training = net.training
    net.eval()
    state = net.run(rows[:, :CONTEXT])[1]
    total = 0.0
    for start in range(CONTEXT, rows.shape[1] - 1, length):
        part = rows[:, start : start + length + 1]
        logits, state = net.run(part[:, :-1], state)
        total += float(F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum"))
    net.train(was_training)
    return total / (streams * size) / math.log(2)


def compressed_bits(found: Corpus, compressor: str) -> float:
    """Bits per character that "bz2" or "lzma" need for the held-out part after the training part.

    It is how much longer the compressed text gets by the held-out part: a baseline that has read the same text.
    """
    compress = COMPRESSORS[compressor]
    before, after = (
        "".join(found.alphabet[symbol] for symbol in part.tolist()).encode()
        for part in (found.training, torch.cat([found.training, found.held_out]))
    )
    return 8 * (len(compress(after)) - len(compress(before))) / len(found.held_out)


def _detached(state: Any) -> Any:
    """The values of nested tuples of tensors, without what they were computed from."""
    if isinstance(state, tuple):
        return tuple(map(_detached, state))
    return state.detach() if isinstance(state, Tensor) else state
