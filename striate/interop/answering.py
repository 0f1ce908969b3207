"""The part of an exported graph that torch knows: from the cropped image to answers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from striate.inference.backbones import net_of
from striate.inference.ood import NEIGHBOURS, OODDetector
from striate.model import Model
from striate.nets.backbone import Backbone


def output_names(model: Model) -> list[str]:
    """What the graph gives: "probabilities" or "numbers", and "distances" of a model with an OOD detector."""
    names = ["numbers" if model.task.kind == "number" else "probabilities"]
    return names + (["distances"] if OODDetector.of(model) else [])


def properties(model: Model) -> dict[str, str]:
    """What a user of the graph must know beside it: names of the outputs, and limits to hold the answers against."""
    found = {"classes": "\n".join(model.classes), "net": model.net, "task": model.task.kind}
    if model.task.kind == "labels":
        found["thresholds"] = "\n".join(f"{value:.6g}" for value in model.task.thresholds)
    if detector := OODDetector.of(model):
        found["ood_threshold"] = f"{detector.threshold:.6g}"
    return found


class Answering(nn.Module):
    """Pixels [N, H, W, C], 0..255 and whole, of the network's own size -> what `output_names` says.

    Probabilities [N, outputs] (which sum to 1 for a task of one class), or numbers [N, 1]; distances [N].
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        net = net_of(model)
        self.kind = model.task.kind
        self.backbone = Backbone(net, model.pixels, embedding=bool(model.head), mean_image=model.mean_image)
        self.head: nn.Module = net.get_submodule(model.head) if model.head else nn.Identity()
        detector = OODDetector.of(model)
        bank = np.zeros((0, 0), np.float32) if detector is None else detector.bank.astype(np.float32)
        self.register_buffer("bank", torch.from_numpy(np.ascontiguousarray(bank.T)), persistent=False)
        self.neighbours = min(NEIGHBOURS, len(bank))

    bank: Tensor

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The answers, and the distances where the model judges them."""
        embedding = self.backbone(pixels)
        scores: Tensor = self.head(embedding)
        if self.kind == "class":
            answers = torch.softmax(scores, dim=1)
        else:
            answers = torch.sigmoid(scores) if self.kind == "labels" else scores
        if not self.neighbours:
            return (answers,)
        unit = embedding / embedding.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        nearest = torch.topk(unit @ self.bank, self.neighbours, dim=1).values
        return answers, 1 - nearest[:, -1]
