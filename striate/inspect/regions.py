"""Segmenters and detectors as networks of one row of outputs: the mean of each class's logits over a region of the
image, and the logits of an object."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from striate.inspect.outputs import SMALLEST, stage_maps, stage_names
from striate.layers.boxes import box_iou
from striate.tasks.detection_arrays import LOGITS, NOTHING, PREDICTED


class Summary(nn.Module):
    """A network whose outputs are summarised as one row an image; its parts are its own, under their names."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self._whole = (net,)  # in a tuple, so that it is no child: its own children are, and have their names
        for name, child in net.named_children():
            self.add_module(name, child)
        self.stages = stage_names(net)
        self.train(net.training)


class RegionMeans(Summary):
    """A segmenter whose logits [N, classes, h, w] are averaged over a region: images -> [N, classes].

    What explains an output of a classifier explains a class of a segmenter on it. region: bool [h, w], as large as the
    logits; None: all pixels. The parts of the network are its own, under their names.
    Source: Vinogradova, Dibrov, Myers 2020, arXiv:2002.11434 (Seg-Grad-CAM), which takes the sum; the mean is in the
    unit of one logit whatever the size of the region. Raises ValueError for an empty region.
    """

    def __init__(self, net: nn.Module, region: Tensor | None = None) -> None:
        super().__init__(net)
        if region is not None and not region.any():
            raise ValueError("the region is empty")
        self.region = region

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> the means [N, classes]."""
        logits: Tensor = self._whole[0](x)
        if self.region is None:
            return logits.mean((2, 3))
        return logits[:, :, self.region].mean(2)


class ObjectLogits(Summary):
    """A detector's logits of an object: images -> [N, classes], each of the row whose box overlaps `box` most.

    box: x1, y1, x2, y2 as shares of the image's sides. What explains an output of a classifier explains the class of a
    box on it. The row is found anew in each image, as by D-RISE (Petsiuk et al. 2021, arXiv:2006.03204), because the
    regions of a two-stage detector change with what is covered.
    """

    def __init__(self, net: nn.Module, box: Sequence[float]) -> None:
        super().__init__(net)
        self.box = tuple(box)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> the logits [N, classes]."""
        outputs: Tensor = self._whole[0](x)
        logits = outputs[..., LOGITS:]
        overlap = box_iou(outputs[..., PREDICTED].detach(), outputs.new_tensor(self.box).expand(len(outputs), 1, 4))
        rows = overlap.masked_fill(logits == NOTHING, -1.0).argmax(1, keepdim=True)  # [N, 1, classes]
        return logits.gather(1, rows)[:, 0]


def coarsest_layer(net: nn.Module, image: Tensor) -> str:
    """The last stage whose map is the smallest of at least 4 x 4 positions: the end of an encoder.

    net: gives one row of outputs; image: [1, C, H, W]. Without such a map it is the stage of the largest one.
    """
    areas = {name: made.shape[2] * made.shape[3] for name, made in stage_maps(net, image).items()}
    large = {name: area for name, area in areas.items() if area >= SMALLEST**2}
    least = min(large.values()) if large else max(areas.values())
    return [name for name, area in areas.items() if area == least][-1]
