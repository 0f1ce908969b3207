"""CIFAR-10 checkpoints of akamaster/pytorch_resnet_cifar10 (BSD-2-Clause), converted for our networks.

These are the widely used PyTorch reproductions of He et al. 2015, section 4.2, with option-A shortcuts as ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError, WorkError
from striate.pixels import Pixels
from striate.reading import WEIGHTS, open_file
from striate.tables import table
from striate.weights.fitting import Rename, fitted, renamed
from striate.weights.pickles import read_pickle

KEYS = table(
    Rename,
    """
    theirs                       ours
    module.conv1                 stem.conv
    module.bn1                   stem.norm
    module.layer{s}.{b}.conv{c}  stage{s}.{b}.conv{c}.conv
    module.layer{s}.{b}.bn{c}    stage{s}.{b}.conv{c}.norm
    module.linear                head
    """,
)

# The preprocessing in training: 32 x 32 without resizing, ImageNet's mean and standard deviation, on 0..255.
PIXELS = Pixels(32, 32, mean=(255 * 0.485, 255 * 0.456, 255 * 0.406), std=(255 * 0.229, 255 * 0.224, 255 * 0.225))


def import_resnet_checkpoint(path: str | Path, net_name: str) -> dict[str, npt.NDArray[np.generic]]:
    """The weights in the checkpoint file at `path`: our key -> array, ready for `load_state_dict` of `net_name`.

    The file is a pickle; only tensors and plain containers are unpickled.
    Raises RequestError for a file that does not exist or is no such checkpoint, WorkError for one of another network.
    """
    try:
        with open_file(Path(path), WEIGHTS) as file:
            arrays = read_pickle(file)
    except OSError as error:
        raise RequestError(f"{str(path)!r} is not a PyTorch checkpoint: {error.strerror or error}") from error
    except RequestError as error:
        raise RequestError(f"{str(path)!r} is not a PyTorch checkpoint: {error}") from error
    try:
        return fitted(renamed(arrays, KEYS), net_name)
    except WorkError as error:
        raise WorkError(f"{str(path)!r}: {error}") from error
