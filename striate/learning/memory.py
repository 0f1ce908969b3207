"""Whether a training step fits into memory: foreseen, because a system that runs out of it ends the process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch

from striate.anatomy.summary import activation_memory, catalogue_madds
from striate.errors import RequestError
from striate.learning.trainer import Trainer, on_meta
from striate.nets.catalog import known
from striate.reading import TEXT, read_file

_PER_MADD = 0.5  # bytes of activations for a multiply-add, at most: MobileNetV2 has 0.26, ResNet-50 0.03
_COPIES = 4  # of the weights: themselves, their gradients, and up to two numbers each of the optimizer
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take


def require_memory(trainer: Trainer) -> None:
    """Raise RequestError for a step whose activations and weights are larger than the machine's memory.

    What is counted is the least that a step needs, so that nothing is refused that could run.
    """
    recipe, pixels, there = trainer.recipe, trainer.data.pixels, memory_of_machine()
    images = -(-recipe.train.batch // recipe.train.accumulate)
    if not there or recipe.train.gradient_checkpointing != "none" or _is_small(trainer, images, there // 2):
        return
    try:
        net = on_meta(trainer.net, trainer.task, pixels)
        one = activation_memory(net, (pixels.height, pixels.width))
    except (RuntimeError, NotImplementedError):  # a network of the user's that does not run without memory
        return
    if recipe.train.precision == "bfloat16":
        one //= 2
    fixed = _COPIES * sum(4 * parameter.numel() for parameter in net.parameters())
    there = memory_of_machine()
    if fixed + images * one > there:
        fits = max(0, (there - fixed) // one)
        smaller = f"--batch {fits} would fit, or " if fits else ""
        raise RequestError(
            f"a step on {images:,} images of {pixels.height} x {pixels.width} pixels needs at least "
            f"{(fixed + images * one) / 1e9:.1f} GB of memory, and there are {there / 1e9:.1f} GB: {smaller}"
            "--set train.accumulate=N takes the batch in N parts, --set train.gradient_checkpointing=sqrt needs less"
        )


def _is_small(trainer: Trainer, images: int, limit: int) -> bool:
    """Whether the step is so small by its multiply-adds that the network need not be looked at."""
    madds, pixels = catalogue_madds(trainer.net), trainer.data.pixels
    if madds is None:
        return False
    height, width = known(trainer.net).input_size or (pixels.height, pixels.width)
    larger = pixels.height * pixels.width / (height * width)
    return madds * larger * images * _PER_MADD < limit


def memory_of_machine() -> int:
    """Bytes of memory that training can take: the GPU's if there is one, else the machine's; 0 if it is unknown."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    found = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # Windows
        return 0
    with contextlib.suppress(OSError, ValueError):  # there is none, or it says "max"
        found.append(int(read_file(_CGROUP, TEXT)))
    return min(found)
