"""Each technique changes the weights as defined, and not at all when it is off."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training_cases import QUICK, examples, flat, noise, same, small_net, some

from striate.errors import RequestError, WorkError
from striate.layers.drop_path import ScheduledDropPath
from striate.recipe import Recipe
from striate.tasks import Regression
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import LoopState
from striate.training.optimizers import optimizer_for, parameter_groups


class Recording(Hook):
    """Records the loop's messages, and the weights after every step."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.weights: list[Tensor] = []
        self.rates: list[list[float]] = []

    def step_done(self, loop: LoopState) -> None:
        self.weights.append(flat(loop.net))
        self.rates.append([group["lr"] for group in loop.optimizer.param_groups])

    def note(self, loop: LoopState, line: str) -> None:
        self.lines.append(line)


class Progress(Hook):
    """Records the progress of the network's scheduled drop-path at every step."""

    def __init__(self, path: ScheduledDropPath) -> None:
        self.path, self.seen = path, list[float]()

    def step_done(self, loop: LoopState) -> None:
        self.seen.append(round(self.path.progress.item(), 6))


def test_scheduled_drop_paths_are_told_the_share_of_training_that_is_done() -> None:
    path = ScheduledDropPath(0.4)
    net = nn.Sequential(small_net(), path)
    progress = Progress(path)
    fit(net, noise(32), QUICK.updated({"train.epochs": 2, "train.batch": 8}), hooks=[progress])
    assert progress.seen == [round(step / 8, 6) for step in range(8)]
    assert path.progress == 1


LIBRARY: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=0.01, weight_decay=0.1),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.8, weight_decay=0.1),
    "nesterov": lambda net: torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.8, weight_decay=0.1, nesterov=True),
    "rmsprop": lambda net: torch.optim.RMSprop(
        net.parameters(), lr=0.01, alpha=0.95, eps=0.1, momentum=0.8, weight_decay=0.1
    ),
    "adam": lambda net: torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.8, 0.95), eps=0.1, weight_decay=0.1),
    "adagrad": lambda net: torch.optim.Adagrad(net.parameters(), lr=0.01, eps=0.1, weight_decay=0.1),
    "adamw": lambda net: torch.optim.AdamW(net.parameters(), lr=0.01, betas=(0.8, 0.95), eps=0.1, weight_decay=0.1),
}
OWN: dict[str, dict[str, float]] = {
    "sgd": {},
    "momentum": {"momentum": 0.8},
    "nesterov": {"momentum": 0.8},
    "rmsprop": {"momentum": 0.8, "alpha": 0.95, "epsilon": 0.1},
    "adam": {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.1},
    "adagrad": {"epsilon": 0.1},
    "adamw": {"beta1": 0.8, "beta2": 0.95, "epsilon": 0.1},
}


@pytest.mark.parametrize("name", LIBRARY)
def test_an_optimizer_matches_torchs(name: str) -> None:
    recipe = Recipe().updated(
        {
            "optimizer": {"name": name, "lr": 0.01, "weight_decay": 0.1, "decay_norm_and_bias": True, **OWN[name]},
        }
    )
    mine, theirs = small_net(), small_net()
    images, labels = some(16)
    for net, optimizer in ((mine, optimizer_for(mine, recipe)), (theirs, LIBRARY[name](theirs))):
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(net(images.float() / 255), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.testing.assert_close(flat(mine), flat(theirs))
    assert not torch.equal(flat(mine), flat(small_net()))


A, B, EPS, LR = 0.8, 0.95, 0.1, 0.01  # as in the formulas of the docstrings


def on_paper(
    name: str, w: float, gradient: Callable[[float], float], steps: int, rate: Callable[[int], float]
) -> float:
    """A weight after some steps of a textbook's formula, in plain numbers."""
    v = u = 0.0
    for t in range(steps):
        if name == "classical-momentum":
            v = A * v - rate(t) * gradient(w)
            w += v
        elif name == "shifted-nesterov":  # the gradient where momentum would lead; w is the unshifted weight
            v = A * v - rate(t) * gradient(w + A * v)
            w += v
        elif name == "rmsprop-inside":
            u = B * u + (1 - B) * gradient(w) ** 2
            w -= rate(t) * gradient(w) / (u + EPS) ** 0.5
        else:
            g = gradient(w)
            v, u = A * v + (1 - A) * g, B * u + (1 - B) * g * g
            w -= rate(t) * v / (u + EPS) ** 0.5
    return w + A * v if name == "shifted-nesterov" else w  # what the optimizer holds is the shifted weight


@pytest.mark.parametrize("name", ["classical-momentum", "shifted-nesterov", "rmsprop-inside", "adam-uncorrected"])
def test_a_textbook_optimizer_is_its_formula_also_where_the_rate_changes(name: str) -> None:
    own = {"alpha": B, "epsilon": EPS} if name == "rmsprop-inside" else {"momentum": A}
    own = {"beta1": A, "beta2": B, "epsilon": EPS} if name == "adam-uncorrected" else own
    recipe = Recipe().updated({"optimizer": {"name": name, "lr": LR, "weight_decay": 0.0, **own}})
    module = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(module.weight, 2.0)
    optimizer = optimizer_for(module, recipe)

    def rate(step: int) -> float:
        return LR / (1 + step // 3)

    for step in range(10):
        optimizer.param_groups[0]["lr"] = rate(step)
        optimizer.zero_grad()
        (module.weight**4 / 4).sum().backward()  # gradient w ** 3
        optimizer.step()
    assert module.weight.item() == pytest.approx(on_paper(name, 2.0, lambda w: w**3, 10, rate), rel=1e-9)


def test_with_a_constant_rate_classical_momentum_is_torchs_and_else_it_is_not() -> None:
    def after(name: str, second: float) -> float:
        module = nn.Linear(1, 1, bias=False).double()
        nn.init.constant_(module.weight, 2.0)
        changed = {"optimizer": {"name": name, "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0}}
        optimizer = optimizer_for(module, Recipe().updated(changed))
        for step in range(6):
            optimizer.param_groups[0]["lr"] = 0.01 if step < 3 else second
            optimizer.zero_grad()
            (module.weight**2).sum().backward()
            optimizer.step()
        return module.weight.item()

    assert after("classical-momentum", 0.01) == pytest.approx(after("momentum", 0.01), rel=1e-12)
    assert abs(after("classical-momentum", 0.001) - after("momentum", 0.001)) > 1e-3


def test_l1_makes_weights_sparse_and_l2_diffuse() -> None:
    """Of 20 inputs two decide; L1 sets most weights to exactly 0, L2 makes all smaller and none 0."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (300, 1, 4, 5), dtype=torch.uint8, generator=generator)
    targets = (images[:, 0, 0, 0].float() > images[:, 0, 2, 3].float()).long()

    def weights(**changes: float) -> Tensor:
        net = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
        torch.manual_seed(0)
        nn.init.normal_(net[1].weight, std=0.1)
        recipe = QUICK.updated(
            {"train.epochs": 20, "optimizer.weight_decay": 0.0} | {k.replace("__", "."): v for k, v in changes.items()}
        )
        fit(net, examples(images, targets, mean=[127.5], std=[73.6]), recipe)
        found: Tensor = net[1].weight.detach()
        return found

    plain, sparse, diffuse = weights(), weights(train__l1=0.05), weights(optimizer__weight_decay=0.05)
    assert (plain == 0).sum() == (diffuse == 0).sum() == 0
    assert (sparse == 0).float().mean() > 0.5
    kept = sparse.abs().amax(0).topk(2).indices.sort().values
    assert kept.tolist() == [0, 13]  # pixels (0, 0) and (2, 3)
    assert diffuse.abs().mean() < plain.abs().mean()
    both = weights(train__l1=0.05, optimizer__weight_decay=0.05)  # the elastic net
    assert (both == 0).float().mean() > 0.5 and both.abs().sum() < sparse.abs().sum()


@pytest.mark.parametrize("everything", [False, True])
def test_the_l1_penalty_is_on_weights_or_on_all_parameters(everything: bool) -> None:
    net = small_net()
    recipe = QUICK.updated({"train.epochs": 1, "train.l1": 10.0, "train.l1_norm_and_bias": everything})
    fit(net, noise(32), recipe)
    assert all(not one.any() for one in net.parameters() if one.ndim >= 2)
    assert all(not one.any() for one in net.parameters()) == everything


def test_the_l2_penalty_is_half_of_lambda_times_the_square_and_adamw_s_is_decoupled() -> None:
    def step(name: str, decay: float) -> Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2, bias=False)
        start = layer.weight.detach().clone()
        recipe = Recipe().updated({"optimizer.name": name, "optimizer.lr": 0.1, "optimizer.weight_decay": decay})
        penalty = 0.0 if decay else 0.3 / 2 * layer.weight.square().sum()
        (layer(torch.ones(1, 3)).sum() + penalty).backward()
        optimizer_for(layer, recipe).step()
        return layer.weight.detach() - start

    assert torch.allclose(step("sgd", 0.3), step("sgd", 0.0), atol=1e-7)
    torch.manual_seed(0)
    weight = nn.Linear(3, 2, bias=False).weight.detach()
    assert torch.allclose(step("adamw", 0.3), -0.1 * 0.3 * weight - 0.1, atol=1e-6)  # Adam's first step is the rate


def test_a_plateau_lowers_the_rate_again_and_again() -> None:
    scores = iter([0.5, 0.6, 0.6, 0.55, 0.6, 0.7, 0.7])
    listening = Recording()
    recipe = QUICK.updated({"train.epochs": 7, "schedule": {"name": "plateau", "patience": 1, "gamma": 0.1}})
    fit(small_net(), noise(32), recipe, held_out=lambda net: next(scores), hooks=[listening])
    assert [rates[0] for rates in listening.rates] == pytest.approx([0.05 * 0.1**n for n in (0, 0, 0, 1, 2, 3, 3)])
    assert sum("multiplied by 0.1" in line for line in listening.lines) == 3  # a drop after the last would be in vain


def test_a_plateau_without_held_out_images_watches_the_training_loss() -> None:
    listening = Recording()
    recipe = QUICK.updated({"train.epochs": 4, "schedule": {"name": "plateau", "patience": 1}, "optimizer.lr": 1e-12})
    net = small_net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    fit(net, noise(32), recipe, hooks=[listening])
    assert len({rates[0] for rates in listening.rates}) > 1  # the loss stands still, but for rounding


def test_the_stopping_rule_compares_with_each_of_the_last_losses() -> None:
    losses = iter([3.0, 2.0, 2.5, 2.2, 2.6, 1.0])

    class Loss(Hook):
        def loss_ready(self, loop: LoopState, logits: Tensor, loss: Tensor) -> Tensor:
            return loss * 0 + 32 * next(losses)

    listening = Recording()
    recipe = QUICK.updated({"train.epochs": 6, "train.stop_after": 2})
    reports = fit(small_net(), noise(32), recipe, hooks=[Loss(), listening])
    # 2.5 and 2.2 are each below one of the two before; 2.6 is below neither.
    assert [report.loss for report in reports] == pytest.approx([3.0, 2.0, 2.5, 2.2, 2.6])
    assert any("stopped after epoch 5" in line for line in listening.lines)


def test_an_optimizer_has_its_own_default_learning_rate() -> None:
    peaks = [Recipe().updated({"optimizer.name": name}).optimizer.peak for name in LIBRARY]
    assert peaks == [0.1, 0.1, 0.1, 1e-3, 1e-3, 1e-2, 1e-3]
    assert Recipe().updated({"optimizer.name": "adam", "optimizer.lr": 0.5}).optimizer.peak == 0.5


def test_learning_rates_differ_by_parameter_and_zero_is_frozen() -> None:
    def share(name: str) -> float:
        return {"0": 0.0, "4": 0.5}.get(name.split(".")[0], 1.0)

    net, listening = small_net(norm=False), Recording()
    before = copy.deepcopy(net)
    fit(net, noise(64), QUICK.updated({"schedule.name": "constant"}), hooks=[listening], rates=share)
    assert {tuple(sorted(set(rates))) for rates in listening.rates} == {(0.025, 0.05)}
    assert torch.equal(net[0].weight, before[0].weight)
    assert not torch.equal(net[4].weight, before[4].weight)
    assert sorted(group["share"] for group in parameter_groups(net, 0.1, rates=share)) == [0.5, 0.5, 1.0, 1.0]
    with pytest.raises(RequestError, match="nothing to train"):
        fit(net, noise(64), QUICK, rates=lambda name: 0.0)


@pytest.mark.parametrize("accumulate", [2, 3, 32])
def test_a_batch_in_micro_batches_is_the_same_batch(accumulate: int) -> None:
    recipe = QUICK.updated({"augment": {"preset": "none", "mixup": 0.4, "shift": 2}})
    whole, pieces, sizes = small_net(norm=False), small_net(norm=False), list[int]()
    one = fit(whole, noise(65), recipe)
    pieces.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    other = fit(pieces, noise(65), recipe.updated({"train.accumulate": accumulate}))
    assert [report.loss for report in other] == pytest.approx([report.loss for report in one], rel=1e-5)
    torch.testing.assert_close(flat(pieces), flat(whole), rtol=1e-4, atol=1e-5)
    assert max(sizes) == -(-32 // accumulate)


def test_no_micro_batch_is_too_small_for_batch_norm() -> None:
    net, sizes = small_net(), list[int]()
    net.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    fit(net, noise(35), QUICK.updated({"train.accumulate": 20}))
    assert sizes == [2] * 16 + [3] + [2] * 16 + [3]


def test_the_averaged_weights_are_evaluated_and_become_final() -> None:
    net, listening, judged = small_net(norm=False), Recording(), list[Tensor]()
    start = flat(net)
    recipe = QUICK.updated({"train.epochs": 3, "train.ema_decay": 0.6})
    reports = fit(net, noise(64), recipe, held_out=lambda shown: judged.append(flat(shown)) or 0.5, hooks=[listening])
    average = start
    for step, weights in enumerate(listening.weights, start=1):
        kept = min(0.6, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weights
    torch.testing.assert_close(flat(net), average)
    torch.testing.assert_close(judged[-1], average)
    assert not torch.equal(judged[-1], listening.weights[-1])
    plain = small_net(norm=False)
    assert [report.loss for report in fit(plain, noise(64), recipe.updated({"train.ema_decay": None}))] == [
        report.loss for report in reports
    ]


def test_running_statistics_are_averaged_too() -> None:
    net = small_net()
    fit(net, noise(64), QUICK.updated({"train.ema_decay": 0.99}))
    assert net[1].running_mean.abs().sum() > 0
    assert net[1].num_batches_tracked == 4


class Scripted:
    """Returns scores from a list, and records the weights."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.weights = list(scores), list[Tensor]()

    def __call__(self, net: nn.Module) -> float:
        self.weights.append(flat(net))
        return self.scores[len(self.weights) - 1]


def test_the_best_epoch_is_the_final_one() -> None:
    judge = Scripted(0.1, 0.7, 0.7, 0.2)
    net = small_net()
    fit(net, noise(64), QUICK.updated({"train.epochs": 4, "train.keep_checkpoint": "best"}), held_out=judge)
    assert torch.equal(flat(net), judge.weights[1])
    last = Scripted(0.1, 0.7, 0.7, 0.2)
    fit(net, noise(64), QUICK.updated({"train.epochs": 4}), held_out=last)
    assert torch.equal(flat(net), last.weights[3])


def test_patience_ends_a_run_without_improvement() -> None:
    judge, listening, net = Scripted(0.1, 0.7, 0.6, 0.5, 0.9), Recording(), small_net()
    recipe = QUICK.updated({"train.epochs": 5, "train.patience": 2})
    reports = fit(net, noise(64), recipe, held_out=judge, hooks=[listening])
    assert len(reports) == 4
    assert torch.equal(flat(net), judge.weights[1])
    assert listening.lines == ["stopped after epoch 4: none was better than epoch 2 in 2"]
    errors = Scripted(5.0, 4.0, 6.0, 6.0, 1.0)
    numbers = examples(some(64)[0], some(64)[1].double(), task=Regression(("n",)))
    head = nn.Sequential(nn.Flatten(), nn.Linear(196, 1))
    fit(head, numbers, recipe, held_out=errors)
    assert torch.equal(flat(head), errors.weights[1])  # for an error the lowest is the best


def test_none_or_nan_is_never_the_best_score() -> None:
    judge, net = Scripted(float("nan"), 0.2, 0.1), small_net()
    fit(net, noise(64), QUICK.updated({"train.epochs": 3, "train.keep_checkpoint": "best"}), held_out=judge)
    assert torch.equal(flat(net), judge.weights[1])


def test_the_best_epoch_needs_held_out_images() -> None:
    for change in ({"train.patience": 3}, {"train.keep_checkpoint": "best"}):
        with pytest.raises(RequestError, match="needs held-out images"):
            fit(small_net(), noise(), QUICK.updated(change))


class Deep(nn.Module):
    """Twenty blocks with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        links = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(20)]
        self.stem = nn.Conv2d(1, 4, 3)
        self.body = nn.Sequential(*links)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * 144, 10))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(self.stem(x)))
        return scores


def test_gradient_checkpointing_changes_only_memory() -> None:
    nets, kept = (Deep(), Deep()), []
    for net, recompute in zip(nets, ("none", "sqrt"), strict=True):
        saved: list[int] = []

        def pack(tensor: Tensor, to: list[int] = saved) -> Tensor:
            to.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            fit(
                net,
                noise(16),
                QUICK.updated({"train.epochs": 1, "train.batch": 16, "train.gradient_checkpointing": recompute}),
            )
        kept.append(sum(saved))
    assert same(*nets)
    # 23 links in segments of 4: forward stores the activations between segments, and not those within.
    assert kept[1] < 0.2 * kept[0]
    assert all("forward" not in vars(module) for module in nets[1].modules())


def test_the_average_of_a_checkpointed_net_is_evaluated_by_its_own_layers() -> None:
    judged: dict[str, list[Tensor]] = {"none": [], "sqrt": []}
    x = torch.randn(2, 1, 14, 14, generator=torch.Generator().manual_seed(3))
    for recompute, seen in judged.items():
        recipe = QUICK.updated({"train.batch": 16, "train.ema_decay": 0.9, "train.gradient_checkpointing": recompute})

        fit(Deep(), noise(32), recipe, held_out=lambda net, to=seen: to.append(net(x).detach()) or 0.5)
    for plain, recomputed in zip(*judged.values(), strict=True):
        torch.testing.assert_close(recomputed, plain)


class Heads(nn.Module):
    """A net with two auxiliary heads, which only `forward_aux` runs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(196, 8), nn.ReLU())
        self.head, self.one, self.two = (nn.Linear(8, 10) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(x))
        return scores

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        inner = self.body(x)
        return self.head(inner), [self.one(inner), self.two(inner)]


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_auxiliary_losses_are_weighted(weight: float) -> None:
    images, labels = some(32)
    recipe = QUICK.updated(
        {
            "train.epochs": 1,
            "loss.aux_weight": weight,
            "loss.label_smoothing": 0,
            "train.clip_norm": None,
            "optimizer.weight_decay": 0,
        }
    )
    net, plain = Heads(), Heads()
    report = fit(net, examples(images, labels), recipe)[0]
    x = (images.float() - 33) / 78
    scores, others = plain.forward_aux(x)
    loss = F.cross_entropy(scores, labels) + weight * sum(F.cross_entropy(other, labels) for other in others)
    loss.backward()  # type: ignore[no-untyped-call]
    assert report.loss == pytest.approx(loss.item(), rel=1e-5)
    torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, nesterov=True).step()
    torch.testing.assert_close(flat(net), flat(plain), rtol=1e-4, atol=1e-6)
    assert torch.equal(net.one.weight, Heads().one.weight) is (weight == 0)


class Small(nn.Module):
    """Runs out of memory on more than `most` images, with torch's error on a CPU or on a GPU."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error, self.net, self.sizes = most, error, small_net(norm=False), list[int]()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            raise self.error
        self.sizes.append(len(x))
        scores: Tensor = self.net(x)
        return scores


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_splits_the_batch_into_micro_batches(error: Exception) -> None:
    net, listening, plain = Small(10, error), Recording(), small_net(norm=False)
    fit(net, noise(64), QUICK, hooks=[listening])
    fit(plain, noise(64), QUICK)
    assert set(net.sizes) == {8}
    assert listening.lines == [
        "out of memory with 32 images at once: continuing with 16; the batch size is still 32",
        "out of memory with 16 images at once: continuing with 8; the batch size is still 32",
    ]
    torch.testing.assert_close(flat(net.net), flat(plain), rtol=1e-4, atol=1e-5)


def test_out_of_memory_on_one_image_ends_the_run_with_advice() -> None:
    with pytest.raises(WorkError, match=r"out of memory at epoch 1, batch 1 of 2, with 1 image at once: use a smaller"):
        fit(Small(0, torch.OutOfMemoryError("out of memory")), noise(64), QUICK)


def test_another_error_is_not_taken_for_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        fit(Small(0, RuntimeError("something else")), noise(64), QUICK)


def test_smoothing_by_class_frequency_is_for_classification() -> None:
    images, _ = some(32)
    labels = (torch.arange(32) >= 24).long()
    net, plain = nn.Sequential(nn.Flatten(), nn.Linear(196, 2)), nn.Sequential(nn.Flatten(), nn.Linear(196, 2))
    plain.load_state_dict(net.state_dict())
    recipe = QUICK.updated(
        {"train.epochs": 1, "loss.label_smoothing": 0.2, "loss.smoothing_prior": "frequency", "train.clip_norm": None}
    )
    loss = fit(net, examples(images, labels), recipe)[0].loss
    wanted = 0.8 * F.one_hot(labels, 2) + 0.2 * torch.tensor([0.75, 0.25])
    by_hand = -(wanted * plain((images.float() - 33) / 78).log_softmax(1)).sum(1).mean()
    assert loss == pytest.approx(by_hand.item(), rel=1e-5)
    numbers = examples(images, labels.double(), task=Regression(("n",)))
    with pytest.raises(RequestError, match="needs single-label classification, not the task 'regression'"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(196, 1)), numbers, recipe)
