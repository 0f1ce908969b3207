"""Hyper-parameter search: the space, trials that share prepared data, studies shared by workers, and the report."""

from __future__ import annotations

from striate.tuning.two_keys import Tried, TwoSearches, random_against_grid

__all__ = ["Tried", "TwoSearches", "random_against_grid"]
