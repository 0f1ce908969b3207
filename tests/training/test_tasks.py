"""The loop trains every kind of task, with sample weights, sampling weights and mixup, from memory maps and from
memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from augmenting import augmentation
from torch import Tensor, nn
from training_cases import QUICK, examples, flat, noise, same, small_net, some

from striate.data.augment.batch import augment, mixing
from striate.data.augment.keyed import permutation
from striate.errors import RequestError
from striate.recipe import Recipe
from striate.tasks import Multilabel, Regression, Standardisation
from striate.training.batches import sample_order
from striate.training.evaluation import score
from striate.training.loop import fit
from striate.training.schedule import Schedule
from striate.training.standardised import StandardisedTarget


def test_trains_multilabel(digits: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    # Of a digit: is it even, is it above 4, is it round?
    images, labels, held_images, held_labels = digits
    round_ones = torch.tensor([0, 6, 8, 9])

    def labels_of(of: Tensor) -> Tensor:
        return torch.stack([of % 2 == 0, of > 4, torch.isin(of, round_ones)], 1).float()

    net = small_net()
    net[-1] = nn.Linear(16 * 9, 3)
    recipe = Recipe().updated(
        {"train.epochs": 4, "train.batch": 50, "optimizer.lr": 0.1, "augment": {"preset": "none", "shift": 1}}
    )
    pair = (held_images, labels_of(held_labels))
    held = examples(*pair, task=Multilabel(("even", "large", "round")))
    reports = fit(
        net, examples(images, labels_of(labels), task=Multilabel(("even", "large", "round"))), recipe, held_out=held
    )
    assert reports[-1].loss < 0.6 * reports[0].loss
    final = reports[-1].score
    assert final is not None
    assert final > 0.93
    from sklearn.metrics import average_precision_score

    with torch.no_grad():
        scores = net((held_images.float() - 33) / 78)
    assert final == pytest.approx(average_precision_score(pair[1], scores), abs=1e-4)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_trains_regression_in_the_targets_units(digits: tuple[Tensor, Tensor, Tensor, Tensor], loss: str) -> None:
    # The share of ink, scaled like a price around 10,000: far from a head's initial outputs.
    images, _, held_images, _ = digits
    ink, held_ink = (10_000 + 100 * some.float().mean((1, 2, 3)) for some in (images, held_images))
    origin, unit = ink.mean().item(), ink.std().item()
    bare = small_net()
    bare[-1] = nn.Linear(16 * 9, 1)
    net = StandardisedTarget(bare, Standardisation((origin,), (unit,)))
    recipe = Recipe().updated(
        {"train.epochs": 4, "train.batch": 50, "optimizer.lr": 0.05, "augment": {"preset": "none"}, "loss.name": loss}
    )
    held = examples(held_images, held_ink.double(), task=Regression(("ink",)))
    reports = fit(net, examples(images, ink.double(), task=Regression(("ink",))), recipe, held_out=held)
    final = reports[-1].score
    assert final is not None
    assert final < 0.25 * (held_ink - origin).abs().mean()
    with torch.no_grad():
        before = net((held_images.float() - 33) / 78)
        head = bare[-1]
        assert isinstance(head, nn.Linear)
        net.fold(head)
        torch.testing.assert_close(bare((held_images.float() - 33) / 78), before)
    assert final == pytest.approx((before[:, 0] - held_ink).abs().mean().item(), rel=1e-3)


def plain_losses(net: nn.Module, recipe: Recipe, steps: list[tuple[Tensor, list[tuple[Tensor, Tensor]]]]) -> None:
    """Explicit steps: each a batch x, and pairs of labels and the weight of each image's loss for them."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1, momentum=0.9, nesterov=True)
    for step, (x, parts) in enumerate(steps):
        each = sum(F.cross_entropy(net(x), labels, reduction="none") * shares for labels, shares in parts)
        for group in optimizer.param_groups:
            group["lr"] = Schedule(recipe, 1, len(steps)).rate(step)
        optimizer.zero_grad()
        assert isinstance(each, Tensor)
        each.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()


PLAIN = QUICK.updated(
    {"loss.label_smoothing": 0, "optimizer.weight_decay": 0, "train.clip_norm": None, "train.epochs": 1, "seed": 3}
)


def test_sample_weights_are_relative_to_their_mean() -> None:
    images, labels = some(64)
    weights = torch.arange(64.0)
    net, plain = small_net(norm=False), small_net(norm=False)
    fit(net, examples(images, labels, sample_weights=weights * 7), PLAIN)
    order = torch.from_numpy(permutation(3, 0, 64))
    x = (images.float() - 33) / 78
    plain_losses(plain, PLAIN, [(x[rows], [(labels[rows], weights[rows] / 31.5)]) for rows in order.split(32)])
    torch.testing.assert_close(flat(net), flat(plain), rtol=1e-4, atol=1e-5)
    equal = [small_net(), small_net()]
    fit(equal[0], noise(64, sample_weights=torch.full((64,), 3.0)), QUICK)
    fit(equal[1], noise(64), QUICK)
    assert same(*equal)


def test_mixup_mixes_images_and_losses() -> None:
    images, labels = some(64)
    recipe = PLAIN.updated({"augment": {"preset": "none", "mixup": 0.4, "shift": 2, "flip": 0.5}})
    net, plain = small_net(norm=False), small_net(norm=False)
    fit(net, examples(images, labels), recipe)
    epoch = sample_order(64, seed=3, epoch=0)
    moved = augmentation("shift=2 flip=0.5")
    # A mixup partner is augmented as in its own batch.
    x = (augment(images, np.arange(64), moved, seed=3, epoch=0).float() - 33) / 78
    steps = []
    for start in (0, 32):
        rows = epoch.rows[start : start + 32]
        others = torch.from_numpy(epoch.rows[epoch.partners[start : start + 32]])
        keep = torch.from_numpy(mixing(rows, 0.4, seed=3, epoch=0)).float()
        mine, scale = torch.from_numpy(rows), keep[:, None, None, None]
        mixed = x[mine] * scale + x[others] * (1 - scale)
        steps.append((mixed, [(labels[mine], keep), (labels[others], 1 - keep)]))
    plain_losses(plain, recipe, steps)
    torch.testing.assert_close(flat(net), flat(plain), rtol=1e-4, atol=1e-5)
    again = small_net(norm=False)
    fit(again, examples(images, labels), recipe)
    assert same(net, again)


def test_sampling_weights_balance_the_samples() -> None:
    images = torch.cat([torch.zeros(90, 1, 14, 14), torch.full((10, 1, 14, 14), 255)]).to(torch.uint8)
    labels = (torch.arange(100) >= 90).long()
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(196, 2))
    net.register_forward_pre_hook(lambda module, inputs: seen.append((inputs[0].mean((1, 2, 3)) > 0).sum().item()))
    chances = np.where(labels.numpy() == 1, 9.0, 1.0)
    fit(net, examples(images, labels, sampling_weights=chances), QUICK)
    assert abs(sum(seen) - 100) <= 2  # half of two epochs of 100


def test_a_memory_map_of_larger_images_trains_like_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    packed = generator.integers(0, 256, (65, 20, 20, 1)).astype(np.uint8)
    np.save(tmp_path / "pack.npy", packed)
    view = torch.from_numpy(np.load(tmp_path / "pack.npy", mmap_mode="r+")).permute(0, 3, 1, 2)
    labels = some(65)[1]
    recipe = QUICK.updated({"augment": {"preset": "none", "crop": [0.3, 1.0], "flip": 0.5, "cutout": 3}})
    mapped = examples(view, labels, size=(14, 14), fraction=0.7)
    nets = [small_net() for _ in range(3)]
    reports = fit(nets[0], mapped, recipe, held_out=mapped)
    copied = torch.from_numpy(packed).permute(0, 3, 1, 2).contiguous()
    fit(nets[1], dataclasses.replace(mapped, images=copied), recipe)
    monkeypatch.setattr("striate.training.view.KEEP", 0)
    fit(nets[2], mapped, recipe)
    assert same(nets[0], nets[1])
    assert same(nets[0], nets[2])
    # Held-out images of the larger size are centre-cropped, as in prediction.
    assert reports[-1].score == score(nets[0], examples(view[:, :, 3:17, 3:17], labels))


def test_training_on_indices_equals_training_on_a_copy() -> None:
    images, labels = some(65)
    among = torch.from_numpy(permutation(1, 0, 65)[:40])
    recipe = QUICK.updated({"augment": {"preset": "none", "lighting": 3, "cutout": 4, "mixup": 0.3}})
    nets = small_net(), small_net()
    weights = torch.arange(1.0, 41)
    placed = examples(images, labels[among], among=among, sample_weights=weights)
    copied = examples(images[among], labels[among], sample_weights=weights)
    one = fit(nets[0], placed, recipe)
    other = fit(nets[1], copied, recipe, held_out=copied)
    assert same(*nets)
    assert one[-1].loss == other[-1].loss
    assert other[-1].score == score(nets[0], placed)
    with pytest.raises(RequestError, match=r"int64 \[65\]"):
        examples(images, labels, among=among)


def test_a_mean_image_is_subtracted() -> None:
    images, labels = some(64)
    mean = images.float().mean(0)
    seen = []
    net = small_net()
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    fit(net, examples(images, labels, mean=mean, std=[70.0]), PLAIN.updated({"train.batch": 64}))
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(1, 14, 14), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[0].sum(), ((images.float() - mean) / 70).sum(), atol=1e-2, rtol=0)


def test_lighting_is_measured_on_the_training_images() -> None:
    # All their colours are on one axis, so lighting moves only along it.
    grey = some(64)[0].expand(-1, 3, -1, -1) // 4 + 90
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 196, 10))
    net.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    recipe = PLAIN.updated({"train.batch": 64, "augment": {"preset": "none", "lighting": 8}})
    fit(net, examples(grey, some(64)[1], mean=[0.0] * 3, std=[1.0] * 3), recipe)
    order = torch.from_numpy(permutation(3, 0, 64))
    moved = seen[0] - grey[order].float()
    assert moved.abs().max() > 3
    assert (moved == moved[:, :1, :1, :1]).all()


def test_a_custom_loss_replaces_the_tasks() -> None:
    images, labels = some(64)

    def focal(logits: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(logits, targets, reduction="none")
        return (1 - torch.exp(-each)) ** 2 * each

    nets = small_net(norm=False), small_net(norm=False), small_net(norm=False)
    held = examples(images, labels)
    own = fit(nets[0], examples(images, labels), PLAIN, held_out=held, loss=focal)
    fit(
        nets[1],
        examples(images, labels),
        PLAIN,
        loss=lambda logits, targets: F.cross_entropy(logits, targets, reduction="none"),
    )
    plain = fit(nets[2], examples(images, labels), PLAIN, held_out=held)
    assert own[-1].held_out_loss is not None and plain[-1].held_out_loss is not None
    assert own[-1].loss < plain[-1].loss and own[-1].held_out_loss < plain[-1].held_out_loss
    assert not same(nets[0], nets[2])
    torch.testing.assert_close(flat(nets[1]), flat(nets[2]))
