"""The training loop and its techniques. It is given a module and examples, and knows no net."""

from striate.training.evaluation import score
from striate.training.examples import Examples
from striate.training.loop import fit
from striate.training.loop_state import EpochReport

__all__ = ["EpochReport", "Examples", "fit", "score"]
