"""Where a technique may step into the loop.

    start                          the run is made; nothing is learnt yet. A resumed run is put where it was
    for each epoch:
        epoch_begins               the network is in training mode
        for each batch:
            (rates are set; every micro-batch goes forward and backward)
            gradients_ready        the batch's whole gradient stands in the parameters
            (the optimizer steps)
            step_done              run.batch batches of the epoch are learnt
        (held-out images are evaluated, by run.eval_net)
        epoch_done                 the report of the epoch is the last of run.reports
    end                            the network becomes what the run leaves

A technique is a function first; a hook is the place where it is called. All that a hook remembers goes through
`tensors`, `facts` and `restore`, so that a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from striate.training.run import Run


class Hook:
    """Does nothing at every point; a technique overrides those it needs. `name` tells its state from others'."""

    name = ""

    def start(self, run: Run) -> None:
        """The run is made; nothing is learnt yet."""

    def epoch_begins(self, run: Run) -> None:
        """The network is in training mode."""

    def gradients_ready(self, run: Run) -> None:
        """The batch's whole gradient stands in the parameters."""

    def step_done(self, run: Run) -> None:
        """The optimizer has stepped."""

    def epoch_done(self, run: Run) -> None:
        """The epoch's report is the last of `run.reports`."""

    def end(self, run: Run) -> None:
        """The network becomes what the run leaves."""

    def note(self, run: Run, line: str) -> None:
        """The loop has a line for the user."""

    def tensors(self) -> dict[str, Tensor]:
        """What it remembers, in tensors by name."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What it remembers beside them, as JSON values."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Remember what `tensors` and `facts` gave, in a process that begins anew."""
