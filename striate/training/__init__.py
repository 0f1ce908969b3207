"""The training loop and its techniques. It is given a module and examples, and knows no net."""

from striate.training.examples import Examples
from striate.training.loop import fit
from striate.training.run import EpochReport
from striate.training.scores import score

__all__ = ["EpochReport", "Examples", "fit", "score"]
