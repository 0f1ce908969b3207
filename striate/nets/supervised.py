"""Classifiers whose paper has auxiliary heads on intermediate feature maps: deep supervision, in training only."""

from __future__ import annotations

from striate.nets.base import DropoutNet


class Supervised(DropoutNet):
    """A classifier that sets `auxiliary_heads` itself; the mapping is empty if it was made without them.

    Source: Szegedy et al. 2014, arXiv:1409.4842, section 5. For any other network: `striate.nets.auxiliary`.
    """
