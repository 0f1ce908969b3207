"""Snapshots: the model at the end of each cycle of warm restarts, as model files of the run folder.

Each cycle ends near a minimum of its own, so that their mean is an ensemble at the cost of one training (Huang et al.
2017, arXiv:1704.00109): `striate ensemble RUN/snapshots/*.safetensors --out FILE`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from striate.errors import WorkError
from striate.model import Model, write
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.segments import plain_copy


class Snapshots(Hook):
    """Writes `folder`/cycle-1.safetensors and so on, of the weights that are evaluated: with EMA, of the average.

    model_of: from a copy of the trained module, which it may change, to the model. origin: for `Model.training`. It has
    no state: a resumed run writes the files of the steps that it repeats again, with the same content.
    """

    def __init__(self, folder: Path, model_of: Callable[[nn.Module], Model], origin: dict[str, Any]) -> None:
        self.folder, self.model_of, self.origin = folder, model_of, origin

    def step_done(self, loop: LoopState) -> None:
        """Write the model, if the step was the last of a cycle."""
        cycle = loop.schedule.cycles(loop.step)
        if cycle == loop.schedule.cycles(loop.step - 1) or not loop.world.first:
            return
        model = self.model_of(plain_copy(loop.eval_net))
        training = {**self.origin, "cycle": cycle, "step": loop.step}
        try:
            write(self.folder / f"cycle-{cycle}.safetensors", dataclasses.replace(model, training=training))
        except WorkError as error:
            loop.say(f"no snapshot of cycle {cycle}: {error}; training continues")
