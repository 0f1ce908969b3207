"""The papers' reinforcement learning: a controller whose probabilities follow the reward, by proximal policy
optimisation.

Sources: Tan et al. 2018, arXiv:1807.11626, section 4.2; Schulman et al. 2017, arXiv:1707.06347, equation 7.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from striate.tuning.architecture.space import Point, Space

BATCH = 6  # points between two updates of the controller
STEPS = 5  # of gradient descent on each batch
CLIP = 0.2  # epsilon: how far the probability of a point may move in one update counts
LR = 0.15  # of Adam; the spaces have tens of choices, and a search tens of trials
ENTROPY = 0.01  # weight of the mean entropy of a choice, against early certainty
DECAY = 0.7  # of the moving average of rewards, the baseline


class ReinforcementSampler:
    """A controller of independent logits for each choice, from which points are drawn.

    The papers' controller is a recurrent network, in which a choice depends on those before; with tens of trials, not
    thousands, there is nothing to fit that on. Every BATCH rewards, STEPS steps of Adam raise the clipped objective of
    proximal policy optimisation, with the rewards above their moving average, in units of their deviation, as
    advantages.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.generator = space, np.random.default_rng(seed)
        self.logits = [nn.Parameter(torch.zeros(len(choice.values), dtype=torch.float64)) for choice in space.choices]
        self.optimizer = torch.optim.Adam(self.logits, lr=LR)
        self.batch: list[tuple[Point, float]] = []
        self.baseline: float | None = None

    def propose(self) -> Point:
        """A draw from the controller's probabilities."""
        with torch.no_grad():
            chances = [torch.softmax(one, 0).numpy() for one in self.logits]
        return tuple(int(self.generator.choice(len(one), p=one / one.sum())) for one in chances)

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
        before = self._log_chances(points)[0].detach()
        for _ in range(STEPS):
            chances, entropy = self._log_chances(points)
            ratio = (chances - before).exp()
            gain = torch.minimum(ratio * advantages, ratio.clamp(1 - CLIP, 1 + CLIP) * advantages).mean()
            self.optimizer.zero_grad()
            (-gain - ENTROPY * entropy).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def _log_chances(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithm of each point's probability [N], and the mean entropy of a choice."""
        logs = [torch.log_softmax(one, 0) for one in self.logits]
        chances = torch.stack([log[points[:, place]] for place, log in enumerate(logs)]).sum(0)
        entropy = torch.stack([-(log.exp() * log).sum() for log in logs]).mean()
        return chances, entropy
