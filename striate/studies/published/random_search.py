"""Random search against a grid of equally many trials, where one key matters more than the other."""

from __future__ import annotations

from typing import Any

from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.studies.study import Arm, Claim, Context, Curve, Published, Result, Scale, ScaleName, Study

GRID, RANDOM = "grid", "random search"
FEW, MANY = 3, 10  # points of each key in a grid: 9 and 100 trials
BEST_FEW, BEST_MANY = "error of the best of 9 trials, %", "error of the best of 100 trials, %"
TRIED = "learning rates among 100 trials"
STEPS: dict[ScaleName, int] = {"quick": 40, "cpu": 150, "paper": 1000}
RATES, DECAYS = (-4.0, 0.5), (-6.0, -2.0)  # powers of ten
HIDDEN, BATCH = 32, 64


def compute(arm: Arm, context: Context) -> Result:
    """The best validation errors of 9 and of 100 trials of one of the searches.

    The range of the rate is moved by up to half a cell of the smaller grid, another way for each seed, so that no place
    of the grid is favoured.
    """
    import numpy as np

    from striate.recipe import Recipe
    from striate.tuning.sampling import order_of
    from striate.tuning.space import make_space
    from striate.tuning.two_keys import points_of

    moved = np.random.default_rng(context.seed).uniform(-0.5, 0.5) * (RATES[1] - RATES[0]) / FEW
    space = make_space(
        {
            "optimizer.lr": {"low": 10 ** (RATES[0] + moved), "high": 10 ** (RATES[1] + moved), "log": True},
            "optimizer.weight_decay": {"low": 10 ** DECAYS[0], "high": 10 ** DECAYS[1], "log": True},
        },
        Recipe(),
        "scratch",
        points=MANY,
        nets=(),
    )
    data = _standardised(context.opened(context.data), context.seed)
    chosen = [points_of(space, points, context.seed)[0 if arm.label == GRID else 1] for points in (FEW, MANY)]
    errors = _errors(data, [*chosen[0], *chosen[1]], STEPS[context.scale], context.seed)
    few, many = errors[: FEW**2], errors[FEW**2 :]
    best = np.minimum.accumulate([many[place] for place in order_of(len(many), context.seed)])
    curve = tuple({"trials": float(place + 1), "error": float(error)} for place, error in enumerate(best))
    rates = len({rate for rate, _ in chosen[1]})
    return Result({BEST_FEW: min(few), BEST_MANY: min(many), TRIED: float(rates)}, curve=curve)


def _standardised(source: Source, seed: int) -> tuple[Any, Any, int]:
    """Images as vectors [N, pixels] in a random order, classes [N], and how many are trained on; the others judge."""
    import numpy as np
    import torch

    items = [source.items[place] for place in np.random.default_rng(seed).permutation(len(source.items))]
    grey = [np.asarray(source.decode(source.read(item), 1).image.convert("L"), np.float32) for item in items]
    if len({image.shape for image in grey}) > 1:
        raise RequestError(f"random-search needs images of one size, and those of {source.name!r} differ")
    images = np.stack(grey)
    vectors = torch.from_numpy(images.reshape(len(images), -1))
    vectors = (vectors - vectors.mean()) / vectors.std()
    return vectors, torch.tensor([item.target for item in items]), len(items) // 2


def _errors(data: tuple[Any, Any, int], points: list[tuple[float, float]], steps: int, seed: int) -> list[float]:
    """The validation error of each point, a rate and a decay, in percent; chance where it diverged.

    All networks are trained at once, as one batch of matrices; they share their first weights and their images, and
    nothing else. By gradient descent with momentum 0.9.
    """
    import torch
    import torch.nn.functional as F

    vectors, classes, train = data
    outputs = int(classes.max()) + 1
    drawn = torch.Generator().manual_seed(seed)
    sizes = ((vectors.shape[1], HIDDEN), (1, HIDDEN), (HIDDEN, outputs), (1, outputs))
    first = [
        torch.randn(size, generator=drawn) / size[0] ** 0.5 if size[0] > 1 else torch.zeros(size) for size in sizes
    ]
    weights = [one.expand(len(points), -1, -1).clone().requires_grad_() for one in first]
    momenta = [torch.zeros_like(one) for one in weights]
    rates, decays = torch.tensor(points)[:, :, None, None].unbind(1)

    def logits(x: Any) -> Any:
        hidden = torch.tanh(x.expand(len(points), -1, -1) @ weights[0] + weights[1])
        return hidden @ weights[2] + weights[3]

    for _ in range(steps):
        chosen = torch.randint(train, (BATCH,), generator=drawn)
        found = logits(vectors[chosen]).flatten(0, 1)
        loss = F.cross_entropy(found, classes[chosen].repeat(len(points)), reduction="sum") / BATCH
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for one, gradient, momentum in zip(weights, gradients, momenta, strict=True):
                momentum.mul_(0.9).add_(gradient + decays * one)
                one.sub_(rates * momentum)
    with torch.no_grad():
        found = torch.cat([logits(part) for part in vectors[train:].split(500)], 1)
        wrong = (found.argmax(2) != classes[train:]).float().mean(1)
    wrong[~found.flatten(1).isfinite().all(1)] = 1 - 1 / outputs
    return [100 * float(one) for one in wrong]


def _scale(data: str, scale: ScaleName, seeds: int, time: str, images: tuple[int, int] | None = None) -> Scale:
    deviation = (
        f"Two keys, the learning rate and the weight decay, of a network with one hidden layer of {HIDDEN} units, "
        f"{STEPS[scale]} steps of {BATCH} images; in place of the paper's networks with many keys. The error is on the "
        "validation images that choose the best trial, for both searches alike."
    )
    return Scale(data, {}, seeds, deviation, time, images=images)


STUDY = Study(
    "random-search",
    "Random search against grid search",
    "With as many trials, is random search better than a grid where one key matters more than the other?",
    "Bergstra, Bengio 2012, JMLR 13, Figure 1",
    "L22, P13",
    (
        Published(
            "values of the key that matters among 9 trials, grid and random search",
            "3 and 9 (Figure 1)",
            "the score depends more on one parameter",
            arm=RANDOM,
            measure=TRIED,
        ),
    ),
    (Arm(GRID), Arm(RANDOM)),
    (
        Claim("random search tries more learning rates", TRIED, RANDOM, GRID, exact=True),
        Claim("of 9 trials, the grid's best has the larger error", BEST_FEW, GRID, RANDOM),
        Claim("of 100 trials, the grid's best has the larger error", BEST_MANY, GRID, RANDOM),
    ),
    {
        "quick": _scale("digits", "quick", 6, "1 minute on two cores", (800, 800)),
        "cpu": _scale("mnist-5k", "cpu", 20, "20 minutes on two cores"),
        "paper": _scale("mnist", "paper", 20, "5 hours on two cores", (20000, 10000)),
    },
    (BEST_FEW, BEST_MANY, TRIED),
    compute,
    curves=(Curve("error", "Lowest validation error by trials, %", over="trials", log=True),),
)
