"""Searches for hyper-parameters, architectures and scaling constants; trials share prepared data."""

from __future__ import annotations

from striate.tuning.two_keys import Tried, TwoSearches, random_against_grid

__all__ = ["Tried", "TwoSearches", "random_against_grid"]
