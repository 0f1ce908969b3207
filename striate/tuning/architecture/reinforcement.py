"""The papers' reinforcement learning: a controller whose probabilities follow the reward, by proximal policy
optimisation.

Sources: Tan et al. 2018, arXiv:1807.11626, section 4.2; Schulman et al. 2017, arXiv:1707.06347, equation 7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.tuning.architecture.controller import Controller
from striate.tuning.architecture.space import Point, Space

BATCH = 6  # points between two updates of the controller
STEPS = 5  # of gradient descent on each batch
CLIP = 0.2  # epsilon: how far the probability of a point may move in one update counts
LR, LR_PAIRS = 0.1, 0.01  # of Adam: for what a choice does by itself, and, slower as they are many, for pairs
ENTROPY = 0.01  # weight of the mean entropy of a choice, against early certainty
DECAY = 0.7  # of the moving average of rewards, the baseline


class ReinforcementSampler:
    """Points are drawn from an autoregressive controller, in which a choice depends on those before.

    Every BATCH rewards, STEPS steps of Adam raise the clipped objective of proximal policy optimisation; the advantages
    are the rewards above their moving average, in units of their deviation.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.generator = space, np.random.default_rng(seed)
        self.controller = Controller([len(choice.values) for choice in space.choices])
        alone: dict[str, Any] = {"params": [self.controller.bias]}
        pairs: dict[str, Any] = {"params": [self.controller.weight], "lr": LR_PAIRS}
        self.optimizer = torch.optim.Adam([alone, pairs], lr=LR)
        self.batch: list[tuple[Point, float]] = []
        self.baseline: float | None = None

    def propose(self) -> Point:
        """A draw from the controller's probabilities."""
        return self.controller.draw(self.generator)

    def tell(self, point: Point, reward: float) -> None:
        """Remember the reward; with a full batch, update the controller."""
        self.batch.append((point, reward))
        if len(self.batch) == BATCH:
            self._update()
            self.batch = []

    def _update(self) -> None:
        points = torch.tensor([point for point, _ in self.batch])
        rewards = torch.tensor([reward for _, reward in self.batch], dtype=torch.float64)
        mean = float(rewards.mean())
        self.baseline = mean if self.baseline is None else DECAY * self.baseline + (1 - DECAY) * mean
        advantages = (rewards - self.baseline) / (rewards.std(correction=0) + 1e-8)
        before = self._chosen(self.controller(points), points).detach()
        for _ in range(STEPS):
            logs = self.controller(points)
            ratio = (self._chosen(logs, points) - before).exp()
            gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages).mean()
            entropy = torch.stack([-(log.exp() * log).sum(1).mean() for log in logs]).mean()
            self.optimizer.zero_grad()
            (-gain - ENTROPY * entropy).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    @staticmethod
    def _chosen(logs: list[Tensor], points: Tensor) -> Tensor:
        """The log-probability [N] of each point."""
        return torch.stack([log.gather(1, points[:, [place]])[:, 0] for place, log in enumerate(logs)]).sum(0)
