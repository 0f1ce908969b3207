"""The torch engine: the backbone in eval mode, channels-last, on the GPU if there is one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from striate.inference.backbones import backbone_of
from striate.inference.engine import engine_version
from striate.model import Model
from striate.pixels import Images

PIECE = {"cpu": 8, "cuda": 32}  # images at a time; on a processor more fall out of the cache, and are slower


class TorchEngine:
    """Runs the backbone with torch. precision "bfloat16" means autocast.

    layer: a stage of the net whose feature map, averaged over space, is computed in place of the embedding.
    """

    name = "torch"
    callers = 1

    def __init__(self, model: Model, precision: str, layer: str = "") -> None:
        self.precision = precision
        self.version = engine_version("torch")
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # mypy cannot follow the overloads of Module.to with a memory format.
        self.backbone = backbone_of(model, layer).to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forget_weights(self) -> bool:
        """See `Engine`: the module may share its weights with the model."""
        return False

    def run(self, images: Images) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] -> float32 [N, D]."""
        piece = PIECE[self.device]
        return np.concatenate([self._run(images[start : start + piece]) for start in range(0, len(images), piece)])

    def _run(self, images: Images) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"):
            # A copy, because decoded images may be read-only, which torch warns about.
            answer = self.backbone(torch.from_numpy(np.array(images)).to(self.device))
        result: NDArray[np.float32] = answer.float().cpu().numpy()
        return result
