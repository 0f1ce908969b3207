"""What a net costs: parameters, multiply-adds, activations, activation memory, file size, and peak memory."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from striate.anatomy.summary import activation_memory, madds, parameters
from striate.anatomy.trace import PRODUCTS, trace
from striate.benchmarking.contenders import Contender
from striate.tasks import Task

PEAK_BATCH = 16  # images at once, of the process whose peak memory is measured
PEAK_SECONDS = 300  # such a process is given up after


@dataclass(frozen=True)
class Costs:
    """activations: elements of the outputs of convolutions and linear layers, for one image (as timm's `macts`).

    activation_bytes: kept for the backward pass, of one image. file_bytes: of the model file. peak_bytes: memory that a
    process of its own needs to load the model and to run 16 images at once, besides that of the empty process; None
    where it is not known, and why.
    """

    parameters: int
    madds: int
    activations: int
    activation_bytes: int
    file_bytes: int | None = None
    peak_bytes: int | None = None
    peak_absent: str = ""


def costs(contender: Contender, task: Task, model: Path | None) -> Costs:
    """The costs of a net at its input size. model: its file; None where no training succeeded."""
    net, size = contender.on_meta(task), (contender.pixels.height, contender.pixels.width)
    counted = parameters(net), madds(net, size), activations(contender, task), activation_memory(net, size)
    if model is None:
        return Costs(*counted, peak_absent="no model was trained")
    peak, why = peak_memory(model)
    return Costs(*counted, model.stat().st_size, peak, why)


def activations(contender: Contender, task: Task) -> int:
    """Elements of the outputs of all convolutions and linear layers for one image; fewer are faster on a GPU.

    Radosavovic et al. 2020, arXiv:2003.13678, section 4.
    """
    net = contender.on_meta(task)
    steps = trace(net, (contender.pixels.height, contender.pixels.width)).steps
    return sum(math.prod(step.output) for step in steps if step.op in PRODUCTS)


def peak_memory(model: Path, batch: int = PEAK_BATCH) -> tuple[int | None, str]:
    """Peak memory in bytes of a process that runs the model on `batch` images; or None, and why."""
    # -P and the folder last: what lies in it, such as a torch.py, is not imported in the place of a package. A net of
    # the user's own is imported there from where it was imported here.
    command = [sys.executable, "-P", "-m", "striate.benchmarking.peak", str(model), str(batch)]
    here = str(Path.cwd())
    path = [one or here for one in sys.path]
    path.sort(key=lambda one: one == here)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PEAK_SECONDS, check=False
        )
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if not isinstance(found, int):
        lines = done.stderr.strip().splitlines()
        return None, lines[-1] if lines else "the process that measures it failed"
    return found, ""
