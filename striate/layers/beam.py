"""Beam search: the most probable sequence of words, among those that stay in a beam of a few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]  # each [N, ...]
# The words before [N] and a state -> logits of the next word [N, words], and the state after it.
NextWord = Callable[[Tensor, State], tuple[Tensor, State]]


def beam_search(step: NextWord, state: State, *, limit: int, beam: int = 1, end: int = 0) -> tuple[Tensor, Tensor]:
    """The most probable words, int64 [N, limit], and the logarithm of their probability [N]: see `beam_candidates`."""
    words, scores = beam_candidates(step, state, limit=limit, beam=beam, end=end)
    return words[:, 0], scores[:, 0]


@torch.no_grad()
def beam_candidates(step: NextWord, state: State, *, limit: int, beam: int = 1, end: int = 0) -> tuple[Tensor, Tensor]:
    """The sequences in the beam at the end, the most probable first: int64 [N, beam, limit], filled up with `end`, and
    the logarithms of their probabilities [N, beam]; -inf where there are fewer sequences than the beam is wide.

    state: before the first word, each tensor [N, ...]. `end` is the word that begins a sequence, and that ends it: then
    nothing is added. beam: sequences that are kept after each word; 1 takes the most probable word each time. A beam
    that holds all sequences finds the most probable one. Probabilities are not normalised by length.
    """
    count = len(state[0])
    state = tuple(one.repeat_interleave(beam, 0) for one in state)
    words = state[0].new_full((count * beam, 0), end, dtype=torch.long)
    last = words.new_full((count * beam,), end)
    done = torch.zeros_like(last, dtype=torch.bool)
    # At first all sequences of an image are the same one: the others are out of the race.
    scores = torch.zeros(count, beam, device=last.device)
    scores[:, 1:] = -torch.inf
    first = torch.arange(count, device=last.device).unsqueeze(1) * beam
    for _ in range(limit):
        logits, state = step(last, state)
        gains = logits.float().log_softmax(1)
        only_end = torch.full_like(gains, -torch.inf)
        only_end[:, end] = 0
        gains = torch.where(done.unsqueeze(1), only_end, gains)
        vocabulary = gains.shape[1]
        scores, chosen = (scores.view(-1, 1) + gains).view(count, beam * vocabulary).topk(beam, 1)
        kept = (first + chosen.div(vocabulary, rounding_mode="floor")).flatten()
        last = (chosen % vocabulary).flatten()
        state = tuple(one[kept] for one in state)
        words, done = torch.cat([words[kept], last.unsqueeze(1)], 1), done[kept] | (last == end)
    return words.view(count, beam, limit), scores
