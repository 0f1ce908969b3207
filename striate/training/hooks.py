"""The points of the training loop at which a technique may act.

    start                          the loop is made, nothing is trained; a resumed run continues from its checkpoint
    for each epoch:
        epoch_begins               the network is in training mode
        for each batch:
            (learning rates are set)
            for each micro-batch:
                batch_ready        the images are augmented and normalised; may return others
                (forward)
                loss_ready         logits and the summed loss are computed; may return another loss
                (backward)
            gradients_ready        the gradient of the whole batch is in the parameters
            (optimizer step)
            step_done              loop.batch batches of the epoch are done
        (held-out images are evaluated, by loop.eval_net)
        epoch_done                 the report of the epoch is the last of loop.reports
    end                            the network gets its final weights

A technique is a function first; a hook is where it is called. All state of a hook goes through
`tensors`, `facts` and `restore`, so that a killed run resumes exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from striate.training.loop_state import LoopState
    from striate.training.view import MicroBatch


class Hook:
    """Does nothing at every point; a technique overrides those it needs.

    name: identifies its state in a checkpoint; a hook with state needs one.
    """

    name = ""

    def start(self, loop: LoopState) -> None:
        """The loop is made, nothing is trained."""

    def epoch_begins(self, loop: LoopState) -> None:
        """The network is in training mode."""

    def batch_ready(self, loop: LoopState, batch: MicroBatch) -> MicroBatch:
        """The network's input for a micro-batch; returns it, or others in its place."""
        return batch

    def loss_ready(self, loop: LoopState, logits: Tensor, loss: Tensor) -> Tensor:
        """The loss [] summed over a micro-batch with logits [B, outputs]; returns it, or another in its place."""
        return loss

    def gradients_ready(self, loop: LoopState) -> None:
        """The gradient of the whole batch is in the parameters."""

    def step_done(self, loop: LoopState) -> None:
        """The optimizer has stepped."""

    def epoch_done(self, loop: LoopState) -> None:
        """The epoch's report is the last of `loop.reports`."""

    def end(self, loop: LoopState) -> None:
        """Put the final weights into the network."""

    def note(self, loop: LoopState, line: str) -> None:
        """The loop has a line for the user."""

    def tensors(self) -> dict[str, Tensor]:
        """Its state: tensors by name."""
        return {}

    def facts(self) -> dict[str, Any]:
        """The rest of its state, as JSON values."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore the state that `tensors` and `facts` returned, in a new process."""
