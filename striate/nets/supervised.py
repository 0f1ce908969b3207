"""Auxiliary classifiers on intermediate feature maps: deep supervision, in training only."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from striate.nets.base import Net


class Supervised(Net):
    """A classifier with auxiliary heads, whose losses add a gradient to the intermediate stages.

    `auxiliary_heads` names, by stage, the head on that stage's feature map; it is empty for a network
    without any. `forward`, `embed`, `features` and `maps` do not run them and take images as small as without them.
    Source: Szegedy et al. 2014, arXiv:1409.4842, section 5.
    """

    auxiliary_heads: Mapping[str, str]
    dropout: nn.Module

    def embed(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> vectors [N, embedding_size], with dropout in training."""
        return self._pooled(self.features(x))

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images [N, in_channels, H, W] -> logits [N, classes], and those of each auxiliary head, the lowest first.

        The loss adds the auxiliary heads' losses, each times a weight (0.3 in the paper); without heads the list is
        empty. Raises RequestError for images that are too small, for the network or for a head.
        """
        auxiliary: list[Tensor] = []

        def run_head(stage: str, maps: Tensor) -> None:
            if stage in self.auxiliary_heads:
                auxiliary.append(getattr(self, self.auxiliary_heads[stage])(maps))

        last = self._run_stages(x, run_head)
        return self.head(self._pooled(last)), auxiliary

    def _pooled(self, features: Tensor) -> Tensor:
        vector: Tensor = self.dropout(features.mean((2, 3)))
        return vector
