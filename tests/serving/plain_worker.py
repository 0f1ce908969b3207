"""A server whose model is no network, for tests that start processes: importing it takes a fraction of a second."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import numpy as np

from striate.inference.image_predictor import ImagePredictor, Row
from striate.pixels import Images, Pixels
from striate.serving.predicted import Predicted
from striate.serving.server import ModelServer, Settings
from striate.tasks import Classification, Task
from striate.web.guard import LOOPBACK, Access, Site


class Brightness(ImagePredictor):
    """Tells dark images from light ones by their mean."""

    engine_name, engine_note, precision = "none", "", "float32"
    view = Pixels(8, 8)  # type: ignore[assignment]
    described, ood_threshold, averaged = "a mean", None, ()  # type: ignore[assignment]
    task: Task = Classification(("dark", "light"))  # type: ignore[assignment]

    def rows(self, crops: Images) -> list[Row]:
        means = crops.reshape(len(crops), -1).mean(1) / 255
        return [(np.array([1 - mean, mean], np.float32), None) for mean in means]


def opening(listening: socket.socket, said: Callable[[str], None]) -> ModelServer:
    """The server of a worker."""
    return ModelServer(
        {"brightness": Predicted(Brightness())}, listening, Settings(Access(Site(frozenset(LOOPBACK))), "0"), said
    )


def dying(listening: socket.socket, said: Callable[[str], None]) -> ModelServer:
    """No server: the process ends, as by a crash of a library."""
    os._exit(3)


def failing(listening: socket.socket, said: Callable[[str], None]) -> ModelServer:
    """No server: an error that nobody expected."""
    raise KeyError("odd")
