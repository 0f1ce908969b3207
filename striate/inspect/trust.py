"""Whether a map can be trusted: randomised weights, edges, deletion, and how far it is off its place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.inspect.class_maps import layer_map, stretched
from striate.inspect.occlusion import PIECE, covered_outputs, outputs_for
from striate.inspect.outputs import stage_names
from striate.inspect.replacing import before, given, recorded

DRAWS = 5
ALIKE = 0.3  # a rank correlation from which a map is like that of random weights
EDGES = 0.5  # a rank correlation from which a map follows the edges
TOP = 3  # rows of the randomisation that may still resemble the map
LEVELS, ORDERS = 6, 3  # of the deletion curve
LARGE = 100_000  # weights of a tensor that is shuffled in an order made once
MapOf = Callable[[nn.Module], NDArray[np.float32]]


@dataclass(frozen=True)
class Randomised:
    """How alike the map and that of the network are whose weights from the head down to `stage` are shuffled: the rank
    correlation, mean, lowest and highest of the draws."""

    stage: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Deletion:
    """An output while the image is covered cell by cell, the map's highest values first: shares covered [L], outputs
    [L] by the map, the mean [L] over random orders, and the areas under both."""

    shares: NDArray[np.float64]
    by_map: NDArray[np.float64]
    by_chance: NDArray[np.float64]

    @property
    def areas(self) -> tuple[float, float]:
        """Under the map's curve and under that of random orders."""
        return float(np.trapezoid(self.by_map, self.shares)), float(np.trapezoid(self.by_chance, self.shares))

    @property
    def passed(self) -> bool:
        """Whether covering what the map marks lowers the output more than covering places at random."""
        return self.areas[0] < self.areas[1]


@dataclass(frozen=True)
class Offset:
    """How far the map's centre is from an object's, in pixels, (down, right): the mean over its places, and the
    furthest distance. None: the map does not find the object."""

    mean: tuple[float, float]
    furthest: float


def rank_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Spearman's rank correlation; ties share their mean rank; 0 where one of the two is constant or not finite."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    ranks = [_ranks(values.ravel()) for values in (one, other)]
    spread = [float(values.std()) for values in ranks]
    if min(spread) == 0:
        return 0.0
    return float(((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())).mean() / (spread[0] * spread[1]))


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: NDArray[np.float64] = (ends - (counts - 1) / 2)[places]
    return found


def randomised(net: nn.Module, map_of: MapOf, *, draws: int = DRAWS, seed: int = 0) -> list[Randomised]:
    """How alike the map stays when the network's weights are shuffled, from the head down to each stage.

    map_of: the map of a network, for one image. Weights are shuffled within each tensor of a copy, so that their
    distribution stays. A map of what the network has learned no longer resembles itself. Stages below the shuffled ones
    are run once: their outputs do not change. Source: Adebayo et al. 2018, arXiv:1810.03292.
    """
    rows = _from_the_head(net)
    with recorded(net, dict.fromkeys((*stage_names(net), *(name for names in rows for name in names)))) as outputs:
        plain = map_of(net)
    found: list[list[float]] = [[] for _ in rows]
    large: dict[str, Tensor] = {}
    for draw in range(draws):
        changed = copy.deepcopy(net)
        draws_ = torch.Generator().manual_seed(1000 * seed + draw)
        for place, names in enumerate(rows):
            for name in names:
                _shuffle(changed, name, draws_, large)
            shuffled = {name for row in rows[: place + 1] for name in row}
            with given(changed, before(outputs, shuffled)):
                found[place].append(rank_correlation(plain, map_of(changed)))
    return [
        Randomised(names[-1], float(np.mean(each)), min(each), max(each))
        for names, each in zip(rows, found, strict=True)
    ]


def like_random(rows: list[Randomised]) -> bool:
    """Whether the map still resembles itself where more than the top three stages are shuffled."""
    below = rows[TOP:] or rows[-1:]
    return bool(below) and float(np.mean([row.mean for row in below])) >= ALIKE


def _from_the_head(net: nn.Module) -> list[list[str]]:
    """Parts with weights, the output's first: what is above the stages, the top three, half of the rest, all."""
    stages = [name for name in stage_names(net) if _has_weights(net.get_submodule(name))]
    above = [name for name, part in net.named_children() if name not in stage_names(net) and _has_weights(part)]
    if not above and len(stages) > 1:
        above = [stages.pop()]
    stages.reverse()
    rows = [above] if above else []
    rows += [[name] for name in stages[: TOP - 1]]
    rest = stages[TOP - 1 :]
    half = (len(rest) + 1) // 2
    return rows + [part for part in (rest[:half], rest[half:]) if part]


def _has_weights(part: nn.Module) -> bool:
    return any(True for _ in part.parameters())


def _shuffle(net: nn.Module, name: str, draws: torch.Generator, large: dict[str, Tensor]) -> None:
    """Shuffle the weights of a module. large: tensors of many weights, kept from draw to draw and only rolled in the
    next ones, because drawing an order of millions takes longer than a forward pass."""
    with torch.no_grad():
        for path, weight in net.get_submodule(name).named_parameters(prefix=name):
            count = weight.numel()
            if path in large:
                values = large[path].roll(int(torch.randint(count, (1,), generator=draws)))
            else:
                values = weight.flatten()[torch.randperm(count, generator=draws).to(weight.device)]
            if count > LARGE:
                large[path] = values
            weight.copy_(values.view_as(weight))


def edge_correlation(image: Tensor, values: NDArray[np.float32]) -> float:
    """The rank correlation of a map's strength [h, w] with the edges of the image [C, H, W] (Sobel), pixel by pixel.

    A map that follows the edges may show the picture and not what the network does with it.
    """
    grey = image.float().mean(0)[None, None].cpu()
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    kernels = torch.stack([across, across.T])[:, None]
    edges = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels).norm(dim=1)[0]
    height, width = edges.shape
    return rank_correlation(stretched(np.abs(values)[None], (height, width))[0], edges.numpy())


def deletion(net: nn.Module, image: Tensor, output: int, values: NDArray[np.float32], *, seed: int = 0) -> Deletion:
    """An output while the image [C, H, W] is covered with 0, in the order of a map [h, w] and in random orders.

    Source: Petsiuk et al. 2018, arXiv:1806.07421.
    """
    cells = values.size
    draws = np.random.default_rng(seed)
    orders = [np.argsort(-values.ravel(), kind="stable"), *(draws.permutation(cells) for _ in range(ORDERS))]
    counts = np.unique(np.linspace(0, cells, LEVELS + 1).round().astype(int))
    inner = counts[1:-1]
    masks = [_mask(order[:count], values.shape, image) for order in orders for count in inner]
    ends = outputs_for(net, torch.stack([image, torch.zeros_like(image)]), output)
    between = covered_outputs(net, image, masks, output).reshape(len(orders), len(inner))
    curves = np.column_stack([np.full(len(orders), ends[0]), between, np.full(len(orders), ends[1])])
    return Deletion(counts / cells, curves[0], curves[1:].mean(0))


def _mask(places: NDArray[np.int64], shape: tuple[int, ...], image: Tensor) -> Tensor:
    cells = torch.zeros(shape, device=image.device)
    cells.view(-1)[torch.from_numpy(places)] = 1
    return F.interpolate(cells[None, None], size=image.shape[1:], mode="nearest")[0, 0] > 0


def offset(net: nn.Module, image: Tensor, output: int, layer: str) -> Offset | None:
    """How far the class map is off the place of an object, measured with the image itself, made small, at five places.

    image [C, H, W]. The centre of a map is that of the third of its highest values above the empty background's. The
    small image is put there upright and turned by 180 degrees, so that where it has its object matters little.
    """
    height, width = image.shape[1:]
    small = F.interpolate(image[None], size=(max(1, 3 * height // 8), max(1, 3 * width // 8)), mode="area")[0]
    corners = [
        (round(down * height - small.shape[1] / 2), round(right * width - small.shape[2] / 2))
        for down, right in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
    ]
    scenes = torch.zeros(2 * len(corners) + 1, *image.shape, dtype=image.dtype, device=image.device)
    for place, (top, left) in enumerate(corners):
        part = slice(top, top + small.shape[1]), slice(left, left + small.shape[2])
        scenes[(place, slice(None), *part)] = small
        scenes[(len(corners) + place, slice(None), *part)] = small.flip(1, 2)
    values = np.concatenate([layer_map(net, piece, output, layer) for piece in torch.split(scenes, PIECE)])
    large = stretched(values[:-1] - values[-1:], (height, width))
    centres = [(top + small.shape[1] / 2, left + small.shape[2] / 2) for top, left in 2 * corners]
    misses = [_miss(each, centre) for each, centre in zip(large, centres, strict=True)]
    if None in misses:
        return None
    known = np.array(misses, np.float64).reshape(2, len(corners), 2).mean(0)
    down, right = known.mean(0)
    return Offset((float(down), float(right)), float(np.hypot(*known.T).max()))


def _miss(values: NDArray[np.float32], centre: tuple[float, float]) -> tuple[float, float] | None:
    strong = np.where(values > 2 / 3 * values.max(), values, 0) if values.max() > 0 else np.zeros_like(values)
    total = float(strong.sum())
    if total <= 0:
        return None
    rows, columns = np.arange(values.shape[0]) + 0.5, np.arange(values.shape[1]) + 0.5
    down, right = float(strong.sum(1) @ rows) / total, float(strong.sum(0) @ columns) / total
    return down - centre[0], right - centre[1]
