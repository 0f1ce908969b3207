"""Samplers whose draw depends on the seed and the trial's number alone, not on which worker draws it or when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from striate.recipe import Recipe
from striate.tuning.space import Choices, Space

METHODS = ("random", "grid", "tpe")


class ByTrial(BaseSampler):
    """Optuna's random or TPE sampler, made anew for each draw from (seed, trial number, key).

    Random search is then the same for any number of workers, and a resumed search goes on as it would have.
    point: if set, the labels of the trial that is asked next, as of a grid.
    """

    def __init__(self, method: str, seed: int) -> None:
        self.method, self.seed = method, seed
        self.point: Mapping[str, Any] | None = None

    def _inner(self, trial: FrozenTrial, key: str) -> BaseSampler:
        seed = int(np.random.default_rng([self.seed, trial.number, crc32(key.encode())]).integers(2**31))
        return TPESampler(seed=seed) if self.method == "tpe" else RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None: every key is sampled by itself."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """None, as above."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of one key."""
        if self.point is not None:
            return self.point[param_name]
        return self._inner(trial, param_name).sample_independent(study, trial, param_name, param_distribution)


def drawn(trial: optuna.Trial, space: Space, recipe: Recipe) -> dict[str, Any]:
    """The labels of a trial by key; keys that its optimizer or schedule does not have are not drawn."""
    found: dict[str, Any] = {}
    for one in space.active(found, recipe):
        name = one.key.name
        if isinstance(one, Choices):
            found[name] = trial.suggest_categorical(name, one.labels)
        elif one.whole:
            found[name] = trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
        else:
            found[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return found


def order_of(points: int, seed: int) -> list[int]:
    """The order in which the points of a grid are tried: shuffled, so that a part of it is spread over the whole."""
    return [int(place) for place in np.random.default_rng([seed, points]).permutation(points)]
