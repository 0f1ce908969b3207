"""CIFAR-10 checkpoints of akamaster/pytorch_resnet_cifar10 (BSD-2-Clause), converted for our networks.

These are the widely used PyTorch reproductions of He et al. 2015, section 4.2, with option-A shortcuts as ours.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from striate.errors import RequestError, WorkError
from striate.pixels import Pixels
from striate.reading import WEIGHTS, read_file
from striate.tables import table
from striate.weights.fitting import Rename, fitted, renamed

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
    import torch

    try:
        content = torch.load(io.BytesIO(read_file(Path(path), WEIGHTS)), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no weights could be read from it"
        raise RequestError(f"{str(path)!r} is not a PyTorch checkpoint: {reason}") from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise RequestError(f"{str(path)!r} has no 'state_dict' of tensors, as these checkpoints do")
    try:
        return fitted(renamed({key: tensor.numpy() for key, tensor in state.items()}, KEYS), net_name)
    except WorkError as error:
        raise WorkError(f"{str(path)!r}: {error}") from error
