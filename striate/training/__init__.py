"""The training loop and its techniques. It takes any module and examples, and depends on no particular net."""

from striate.training.evaluation import score
from striate.training.examples import Examples
from striate.training.loop import fit
from striate.training.loop_state import EpochReport

__all__ = ["EpochReport", "Examples", "fit", "score"]
