"""Unpooling: values return to the places of the maxima that a pooling took them from."""

from __future__ import annotations

from torch import Tensor, nn


class Unpooling(nn.Module):
    """A map of zeros, with each value at the place of the maximum of its window: undoes pooling of `size` x `size`.

    Input [N, C, h, w] and the places [N, C, h, w] that `nn.MaxPool2d(size, return_indices=True)` gives beside its
    maxima; output [N, C, size h, size w]. As torch's MaxUnpool2d, which no exporter converts.
    Source: Zeiler, Fergus 2013, arXiv:1311.2901, section 2.1; Badrinarayanan et al. 2015, arXiv:1511.00561 (SegNet).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        height, width = self.size * x.shape[2], self.size * x.shape[3]
        flat = x.new_zeros((x.shape[0], x.shape[1], height * width))
        finer: Tensor = flat.scatter(2, places.flatten(2), x.flatten(2))
        return finer.view(x.shape[0], x.shape[1], height, width)

    def extra_repr(self) -> str:
        return f"{self.size}"
