"""The schedule of ScheduledDropPath (Zoph, Vasudevan, Shlens, Le 2017, arXiv:1707.07012, appendix A)."""

from __future__ import annotations

from torch import nn

from striate.layers.drop_path import ScheduledDropPath
from striate.training.hooks import Hook
from striate.training.loop_state import LoopState
from striate.training.view import MicroBatch


def set_progress(net: nn.Module, share: float) -> None:
    """Tell every ScheduledDropPath of `net` which share of the training is done, from 0 to 1."""
    for module in net.modules():
        if isinstance(module, ScheduledDropPath):
            module.progress.fill_(share)


class PathSchedule(Hook):
    """Sets the progress of a network's scheduled drop-paths before each step; does nothing to others."""

    def __init__(self) -> None:
        self.scheduled = False

    def start(self, loop: LoopState) -> None:
        self.scheduled = any(isinstance(module, ScheduledDropPath) for module in loop.net.modules())

    def batch_ready(self, loop: LoopState, batch: MicroBatch) -> MicroBatch:
        if self.scheduled:
            set_progress(loop.net, loop.step / (loop.epochs * loop.steps))
        return batch

    def end(self, loop: LoopState) -> None:
        set_progress(loop.net, 1.0)
