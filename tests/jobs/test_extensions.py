"""What a caller brings to `train` beside the recipe: hooks, a loss, an augmentation, metrics; each called and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import Hook, Recipe, RequestError
from striate.errors import Stopped

CHOICES: dict[str, Any] = {"net": "lenet5_plain", "strategy": "scratch", "epochs": 3, "batch": 32, "lr": 0.05}


def squares(count: int = 120) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Dark noise; of class 1 with a bright square."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = generator.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    images[labels == 1, 8:20, 8:20] += 180
    return images, labels


class Recording(Hook):
    """Counts its batches; the count is part of a checkpoint."""

    name = "recording"

    def __init__(self) -> None:
        self.batches = self.losses = 0

    def start(self, loop: Any) -> None:
        self.batches = self.losses = 0

    def batch_ready(self, loop: Any, shown: Any) -> Any:
        self.batches += 1
        return shown

    def loss_ready(self, loop: Any, logits: Tensor, loss: Tensor) -> Tensor:
        assert logits.ndim == 2 and loss.ndim == 0
        self.losses += 1
        return loss + 1e-4 * logits.square().sum()

    def facts(self) -> dict[str, Any]:
        return {"batches": self.batches, "losses": self.losses}

    def restore(self, tensors: Any, facts: Any) -> None:
        self.batches, self.losses = facts["batches"], facts["losses"]


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Lin et al. 2017, with gamma = 2."""
    losses = F.cross_entropy(logits, targets, reduction="none")
    return (1 - torch.exp(-losses)) ** 2 * losses


def upside_down(images: Tensor, samples: NDArray[np.int64], seed: int, epoch: int) -> Tensor:
    """Every other image flipped, by its number and the epoch."""
    chosen = torch.from_numpy((samples + seed + epoch) % 2 == 0)
    return torch.where(chosen[:, None, None, None], images.flip(2), images)


def error_rate(predictions: NDArray[np.float32], targets: NDArray[Any]) -> float:
    return float((predictions.argmax(axis=1) != targets).mean())


def test_all_of_them_are_called_and_recorded_by_name(tmp_path: Path) -> None:
    hook = Recording()
    run = striate.train(
        squares(), out=tmp_path / "run", **CHOICES, hooks=[hook], loss=focal, augment=upside_down,
        metrics={"error_rate": error_rate},
    )  # fmt: skip
    assert hook.batches == hook.losses == 3 * 3  # 96 images in batches of 32
    assert run.evaluation.score == 1.0
    assert run.metrics["error_rate"] == run.evaluation.extras["error_rate"] == 0.0
    stated = run.model.training
    assert stated["loss"].endswith("test_extensions:focal") and stated["hooks"] == [f"{__name__}:Recording"]
    assert stated["metrics"] == {"error_rate": f"{__name__}:error_rate"}
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert recipe.augment.preset == "none" and recipe.loss.name is None


def test_without_them_the_weights_are_others(tmp_path: Path) -> None:
    plain = striate.train(squares(), out=tmp_path / "plain", **CHOICES)
    for name, given in {"loss": focal, "augment": upside_down, "hooks": [Recording()]}.items():
        other = striate.train(squares(), out=tmp_path / name, **CHOICES, **{name: given})
        assert other.model.checksums != plain.model.checksums, name
    measured = striate.train(squares(), out=tmp_path / "m", **CHOICES, metrics={"error_rate": error_rate})
    assert measured.model.checksums == plain.model.checksums


def test_own_metrics_of_every_fold(tmp_path: Path) -> None:
    run = striate.train(
        squares(60), out=tmp_path / "run", recipe={"data": {"folds": 3}}, **CHOICES, metrics={"error_rate": error_rate}
    )
    folds = run.result.cross_validation
    assert folds is not None and all("error_rate" in fold.extras for fold in folds.folds)


@pytest.mark.parametrize("given", [{"loss": focal}, {"hooks": [Recording()]}, {"augment": upside_down}])
def test_a_strategy_without_gradient_steps_refuses_them(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"act in gradient steps.*strategy='finetune' or strategy='scratch'"):
        striate.train(squares(), out=tmp_path / "run", strategy="features", **given)


def test_a_resumed_run_needs_them_again(tmp_path: Path) -> None:
    class Stopping(Recording):
        def epoch_done(self, loop: Any) -> None:
            if loop.epoch == 2:
                raise Stopped("stopped here", 130)

    often = {"checkpoint": {"steps": 1}}
    with pytest.raises(Stopped):
        striate.train(squares(), out=tmp_path / "run", recipe=often, **CHOICES, loss=focal, hooks=[Stopping()])
    with pytest.raises(RequestError, match="the checkpoint is of another run"):
        striate.train(squares(), resume=tmp_path / "run")


def test_an_augmentation_that_changes_the_shape_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"an augmentation must return uint8 \[32, 1, 32, 32\].*not torch.float32"):
        striate.train(
            squares(), out=tmp_path / "run", **CHOICES, augment=lambda images, samples, seed, epoch: images.float()
        )
