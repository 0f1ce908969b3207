"""The training loop, its schedule, losses and optimizers. It is given a module and tensors, and knows no net."""

from striate.training.loop import fit
from striate.training.scores import score
from striate.training.settings import EpochReport, Settings

__all__ = ["EpochReport", "Settings", "fit", "score"]
