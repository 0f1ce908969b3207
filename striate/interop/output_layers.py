"""The part of an exported graph that torch exports: from the cropped image to predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from striate.inference.backbones import backbone_of, net_of
from striate.inference.ood import NEIGHBOURS, OODDetector
from striate.model import AnyModel, Ensemble, Model
from striate.nets.backbone import normalisation
from striate.storage import json_text


def _softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": _softmax,
    "sigmoid": torch.sigmoid,
    "identity": lambda logits: logits,
}


def output_names(model: AnyModel) -> list[str]:
    """The graph's outputs: "probabilities" or "numbers", and "distances" for a model with an OOD detector.

    Of a detector "boxes", "scores" and "labels".
    """
    if model.task.boxes:
        return ["boxes", "scores", "labels"]
    names = [model.task.output_name]
    return names + (["distances"] if ood_threshold(model) is not None else [])


def ood_threshold(model: AnyModel) -> float | None:
    """What the graph's distances are compared with: of an ensemble 1, if each member has a detector; or None."""
    if isinstance(model, Ensemble):
        return 1.0 if all(OODDetector.of(member) for member in model.members) else None
    detector = OODDetector.of(model)
    return None if detector is None else detector.threshold


def distance_factors(ensemble: Ensemble) -> list[float]:
    """What each member's distances are multiplied by, to be summed: its weight over its threshold."""
    limits = [ood_threshold(member) or 0.0 for member in ensemble.members]
    return [weight / max(limit, 1e-12) for weight, limit in zip(ensemble.weights, limits, strict=True)]


def properties(model: AnyModel) -> dict[str, str]:
    """The graph's metadata: class names, and thresholds to compare its outputs with.

    Lists are JSON, in ASCII: a name may hold a line break, a comma or any other character.
    """
    found = {"classes": json_text(model.classes), "net": model.net, "task": model.task.kind}
    found |= model.task.metadata()
    if (threshold := ood_threshold(model)) is not None:
        found["ood_threshold"] = f"{threshold:.6g}"
    return found


class OutputLayers(nn.Module):
    """Pixels [N, H, W, C], integers 0..255 at the network's input size -> the outputs of `output_names`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = backbone_of(model)
        self.top = Top(model)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The predictions, and the distances if the model has a detector."""
        outputs: tuple[Tensor, ...] = self.top(self.backbone(pixels))
        return outputs


def _head(model: Model) -> nn.Module:
    """The linear head, with its weights; the identity for a model without one."""
    if not model.head:
        return nn.Identity()
    weight, bias = model.tensors[f"{model.head}.weight"], model.tensors.get(f"{model.head}.bias")
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(np.array(weight)))
        if bias is not None:
            head.bias.copy_(torch.from_numpy(np.array(bias)))
    return head


class Predictions(nn.Module):
    """Images [N, C, H, W], 0..255 at the network's input size, cropped -> predictions [N, outputs], without distances.

    It is `OutputLayers` with the channels before the pixels, as a graph has them.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.net = net_of(model)
        self.embedding = bool(model.head)
        self.normalise = normalisation(model.pixels, model.input_tensors)
        self.activation = ACTIVATIONS[model.task.activation]
        self.head = _head(model)

    def forward(self, images: Tensor) -> Tensor:
        """The predictions."""
        x = self.normalise(images)
        predictions: Tensor = self.activation(self.head(self.net.embed(x) if self.embedding else self.net(x)))
        return predictions


class Top(nn.Module):
    """What `OutputLayers` has above the backbone: embeddings [N, D] -> the outputs of `output_names`.

    Probabilities [N, outputs] (which sum to 1 for classification), or values [N, 1]; distances [N].
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[model.task.activation]
        self.head = _head(model)
        detector = OODDetector.of(model)
        bank = np.zeros((0, 0), np.float32) if detector is None else detector.bank.astype(np.float32)
        self.register_buffer("bank", torch.from_numpy(np.ascontiguousarray(bank.T)), persistent=False)
        self.neighbours = min(NEIGHBOURS, len(bank))

    bank: Tensor

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """The predictions, and the distances if the model has a detector."""
        predictions: Tensor = self.activation(self.head(embedding))
        if not self.neighbours:
            return (predictions,)
        unit = embedding / embedding.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12)
        nearest = torch.topk(unit @ self.bank, self.neighbours, dim=1).values
        return predictions, 1 - nearest[:, -1]
