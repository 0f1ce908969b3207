"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from striate.errors import RequestError


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The rate of `step`, from 0 to total_steps - 1: a linear rise to `peak`, then half a cosine down to nearly zero.

    The first step of `warmup_steps` has peak / warmup_steps, the last has `peak`; so has the first step after them.
    No step has a rate of zero. Sources: Goyal et al. 2017, arXiv:1706.02677, section 2.2 (warm-up); Loshchilov, Hutter
    2017, arXiv:1608.03983, equation 5 (cosine, without restarts). Raises RequestError for a step outside the run.
    """
    if not 0 <= step < total_steps:
        raise RequestError(f"a run of {total_steps} steps has steps 0 to {total_steps - 1}, not {step}")
    if step < warmup_steps:
        return peak * ((step + 1) / warmup_steps)
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * done))
