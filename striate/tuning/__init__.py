"""Searches for hyper-parameters, architectures and scaling constants: spaces, trials that share prepared data, reports."""

from __future__ import annotations

from striate.tuning.two_keys import Tried, TwoSearches, random_against_grid

__all__ = ["Tried", "TwoSearches", "random_against_grid"]
