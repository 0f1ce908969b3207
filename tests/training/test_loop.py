"""The loop trains, is deterministic bit for bit, agrees with a ten-line loop, and reports errors with their cause."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training_cases import QUICK, examples, flat, noise, same, small_net, some

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment
from striate.data.augment.keyed import permutation
from striate.errors import RequestError, WorkError
from striate.recipe import Recipe
from striate.training.evaluation import score
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import EpochReport, LoopState
from striate.training.optimizers import optimizer_for, parameter_groups
from striate.training.plain import fit_plain
from striate.training.schedule import Schedule


class Reports(Hook):
    def __init__(self) -> None:
        self.reports: list[EpochReport] = []

    def epoch_done(self, loop: LoopState) -> None:
        self.reports.append(loop.reports[-1])


def test_trains_on_digits(digits: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    images, labels, *held_out = digits
    net, told = small_net(), Reports()
    recipe = Recipe().updated(
        {"train.epochs": 6, "train.batch": 50, "optimizer.lr": 0.1, "augment": {"preset": "none", "shift": 1}}
    )
    held = examples(*held_out)
    reports = fit(net, examples(images, labels), recipe, held_out=held, hooks=[told])
    assert told.reports == reports
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].loss < reports[0].loss / 2
    final = reports[-1].score
    assert final is not None
    assert final > 0.94
    assert not net.training
    assert final == score(net, held, batch=7)
    with torch.no_grad():
        scores = net((held_out[0].float() - 33) / 78)
    assert reports[-1].held_out_loss == pytest.approx(F.cross_entropy(scores, held_out[1]).item(), rel=1e-4)
    assert all(report.images_per_second * report.seconds == pytest.approx(2000) for report in reports)
    assert reports[-1].learning_rate == pytest.approx(Schedule(recipe, 6, 40).rate(239))


def test_the_plain_loop_gives_the_same_curve() -> None:
    images, labels = some(100)
    for augmented in ({"shift": 2}, {"shift": 2, "mixup": 0.4}):
        recipe = Recipe().updated(
            {
                "train.epochs": 3,
                "train.batch": 32,
                "optimizer.lr": 0.05,
                "optimizer.weight_decay": 0.01,
                "augment": {"preset": "none", **augmented},
                "loss.label_smoothing": 0.1,
                "seed": 5,
            }
        )
        net, plain = small_net(), small_net()
        reports = fit(net, examples(images, labels), recipe)
        losses = fit_plain(plain, examples(images, labels), recipe)
        # Not to the bit: `fit` is channels-last, the plain loop is not.
        assert [report.loss for report in reports] == pytest.approx(losses, rel=1e-4)
        for mine, theirs in zip(net.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_the_plain_loop_equals_a_handwritten_one() -> None:
    images, labels = some(100)
    recipe = Recipe().updated(
        {
            "train.epochs": 3,
            "train.batch": 32,
            "optimizer.lr": 0.05,
            "optimizer.weight_decay": 0.01,
            "augment": {"preset": "none", "shift": 2},
            "loss.label_smoothing": 0.1,
            "seed": 5,
        }
    )
    net, plain = small_net(norm=False), small_net(norm=False)
    curve = fit_plain(net, examples(images, labels), recipe)

    weights = [p for name, p in plain.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in plain.named_parameters() if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": 0.01}, {"params": biases, "weight_decay": 0.0}]
    optimizer, losses, step = torch.optim.SGD(groups, lr=1, momentum=0.9, nesterov=True), [], 0
    for epoch in range(3):
        order, total = permutation(5, epoch, 100), 0.0
        for chosen in (order[:32], order[32:64], order[64:96], order[96:]):
            x = augment(images[torch.from_numpy(chosen)], chosen, Augmentation(shift=2), seed=5, epoch=epoch)
            loss = F.cross_entropy(plain((x.float() - 33) / 78), labels[torch.from_numpy(chosen)], label_smoothing=0.1)
            for group in optimizer.param_groups:
                group["lr"] = Schedule(recipe, 3, 4).rate(step)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            total, step = total + loss.item() * len(chosen), step + 1
        losses.append(total / 100)
    assert curve == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(flat(net), flat(plain), rtol=1e-4, atol=1e-5)


def test_same_seed_same_weights_bit_for_bit() -> None:
    images, labels = some()
    recipe = QUICK.updated({"augment": {"preset": "shift+flip"}})
    nets = [small_net(dropout=0.5) for _ in range(3)]
    for net, seed, history in zip(nets, (1, 1, 2), (11, 22, 33), strict=True):
        torch.manual_seed(history)  # The history of the global generator must not matter ...
        before = torch.get_rng_state()
        fit(net, examples(images, labels), recipe.updated({"seed": seed}))
        assert torch.equal(torch.get_rng_state(), before)  # ... nor must training touch it.
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_evaluation_does_not_change_the_weights() -> None:
    images, labels = some()
    nets = small_net(dropout=0.5), small_net(dropout=0.5)
    modes = []

    def validate(net: nn.Module) -> float:
        modes.append(net.training)
        torch.rand(3)
        return 0.25

    reports = fit(nets[0], examples(images, labels), QUICK, held_out=validate)
    assert [report.score for report in reports] == [0.25, 0.25]
    assert modes == [False, False]
    assert [report.score for report in fit(nets[1], examples(images, labels), QUICK)] == [None, None]
    assert same(*nets)


def test_dropout_differs_from_step_to_step() -> None:
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(196, 10), nn.Dropout(0.5))
    net[2].register_forward_hook(lambda module, inputs, output: seen.append(output == 0))
    fit(net, noise(64), QUICK)
    assert len(seen) == 4
    assert not any(torch.equal(seen[0], other) for other in seen[1:])


@pytest.mark.parametrize(("norm", "seen"), [(True, 64), (False, 65)])
def test_a_tail_of_one_is_left_out_only_with_batch_norm(norm: bool, seen: int) -> None:
    net, sizes = small_net(norm=norm), list[int]()
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    fit(net, noise(65), QUICK)
    assert sum(sizes) == 2 * seen
    assert (1 in sizes) is not norm


def test_batch_norm_over_vectors_survives_a_tail_of_one() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(196, 16), nn.BatchNorm1d(16), nn.Linear(16, 10))
    assert len(fit(net, noise(33), QUICK)) == 2


class Bursts(nn.Module):
    """The identity, with an infinity in the batch of the given number."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.left = batch

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        return x / 0.0 if self.left <= 0 else x


def test_stops_at_the_first_loss_that_is_not_finite() -> None:
    net = small_net()
    net.insert(3, Bursts(4))
    with pytest.raises(WorkError) as caught:
        fit(net, noise(), QUICK)
    # 65 images are two batches of 32 here, so the fourth is the second epoch's last.
    assert str(caught.value) == (
        "the loss is not a finite number at epoch 2, batch 2 of 2: it starts in layer '3'; "
        "try a lower learning rate than 0.05 or a longer warm-up than 0 epochs"
    )
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_too_high_a_learning_rate_gives_advice() -> None:
    recipe = QUICK.updated({"optimizer.lr": 1e3, "train.clip_norm": None, "train.epochs": 10})
    with pytest.raises(
        WorkError, match=r"not a finite number at epoch \d+, batch \d+ of 3: .*lower learning rate than 1000"
    ):
        fit(small_net(norm=False), noise(), recipe)


def test_weights_made_non_finite_by_the_last_step_are_noticed() -> None:
    net, linear = nn.Sequential(nn.Flatten()), nn.Linear(196, 10)
    net.append(linear)
    linear.weight.register_hook(lambda gradient: gradient / 0.0)  # type: ignore[no-untyped-call]
    with pytest.raises(WorkError, match=r"'1.weight' is not finite at the end of epoch 1; try a lower"):
        fit(net, noise(32), QUICK.updated({"train.epochs": 1}))


def test_a_gradient_is_clipped_to_the_given_norm() -> None:
    moves = {}
    for clip_norm in (None, 0.01):
        net = small_net(norm=False)
        before = flat(net)
        recipe = Recipe().updated(
            {
                "train.epochs": 1,
                "train.batch": 64,
                "augment": {"preset": "none"},
                "optimizer.momentum": 0.0,
                "optimizer.weight_decay": 0.0,
                "optimizer.lr": 0.1,
                "train.clip_norm": clip_norm,
            }
        )
        fit(net, noise(64), recipe)
        moves[clip_norm] = (flat(net) - before).norm().item()
    assert moves[0.01] == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert moves[None] > 10 * moves[0.01]


def test_weight_decay_is_off_norms_and_biases() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm((4, 2, 2)), nn.Linear(4, 5))
            self.again = self.body[3]
            self.scale = nn.Parameter(torch.ones(4))
            self.frozen = nn.Linear(2, 2).requires_grad_(False)

    net = Scaled()
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    decayed, free = parameter_groups(net, 0.01)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.01, 0.0)
    assert sorted(names[id(p)] for p in decayed["params"]) == ["body.0.weight", "body.3.weight"]
    others = ["body.0.bias", "body.1.bias", "body.1.weight", "body.2.bias", "body.2.weight", "body.3.bias", "scale"]
    assert sorted(names[id(p)] for p in free["params"]) == others
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1
    everything = parameter_groups(net, 0.01, everything=True)
    assert [group["weight_decay"] for group in everything] == [0.01]
    assert len(everything[0]["params"]) == 9
    assert optimizer_for(net, Recipe().updated({"optimizer.momentum": 0.0})).defaults["nesterov"] is False


def test_bfloat16_is_close_and_float32_weights_stay() -> None:
    images, labels = some(64)
    losses = {}
    for precision in ("float32", "bfloat16"):
        net = small_net()
        recipe = Recipe().updated({"train.epochs": 1, "train.batch": 32, "train.precision": precision})
        both = examples(images, labels)
        losses[precision] = fit(net, both, recipe, held_out=both)[0].loss
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


def test_errors_name_the_given_value() -> None:
    images, labels = some(10)
    wrong = [
        (images.float(), labels, r"uint8 images .*not torch.float32 \[10, 1, 14, 14\]"),
        (images, labels[:9], r"torch.int64 \[9\]"),
        (images[:0], labels[:0], "no training images"),
        (images, labels - 100, "one is -100"),
    ]
    for some_images, some_labels, words in wrong:
        with pytest.raises(RequestError, match=words):
            examples(some_images, some_labels)
    for std in ([0.0], [1.0, 1.0]):
        with pytest.raises(RequestError, match="1 channels need as many"):
            examples(images, labels, std=std)
    for weights in (torch.ones(9), torch.zeros(10), torch.full((10,), -1.0), torch.full((10,), float("nan"))):
        with pytest.raises(RequestError, match="10 training images need as many sample weights, 0 or more"):
            examples(images, labels, sample_weights=weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train.epochs": -1}, "train.epochs takes an integer from 1 to 100000, not -1"),
        ({"optimizer.lr": float("nan")}, "optimizer.lr takes a number from 1e-12 to 1000, or 'auto', not nan"),
        ({"optimizer.momentum": 1.0}, "optimizer.momentum takes a number from 0 to 0.9999, not 1.0"),
        ({"optimizer.weight_decay": -1.0}, "weight_decay takes a number from 0 to 1, not -1.0"),
        ({"train.precision": "float16"}, "unknown train.precision 'float16'; did you mean"),
        ({"optimizer.name": "adamW"}, "unknown optimizer 'adamW'; did you mean 'adamw'"),
        ({"schedule": {"name": "step", "milestones": "82 123"}}, "milestones takes a list of increasing numbers"),
        ({"schedule": {"name": "step", "milestones": [0.75, 0.5]}}, "milestones takes a list of increasing numbers"),
        ({"schedule": {"name": "step", "milestones": [], "gamma": 1}}, "milestones takes a list of increasing numbers"),
        ({"schedule": {"name": "step", "milestones": [9], "step_epochs": 3}}, "both set when .*: give one"),
        ({"train": {"batch": 8, "accumulate": 9}}, "train.accumulate is at most train.batch, 8, not 9"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Recipe().updated(change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": (0, 3)}, r"both sides of size must be at least 1, not \(0, 3\)"),
        ({"fraction": 1.1}, "fraction must be above 0 and at most 1, not 1.1"),
    ],
)
def test_examples_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        noise(**change)


def test_unsupported_options_are_refused() -> None:
    with pytest.raises(RequestError, match="unknown key 'rotat' in \\[augment\\]: did you mean 'rotate'"):
        fit(small_net(), noise(), QUICK.updated({"augment": {"preset": "none", "rotat": 3}}))
    with pytest.raises(RequestError, match="unknown loss of the task 'classification' 'huber'; known: cross-entropy"):
        fit(small_net(), noise(), QUICK.updated({"loss.name": "huber"}))
