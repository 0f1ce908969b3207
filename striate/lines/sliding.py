"""A classifier slid over a line, as a space displacement network: its layers see the whole line at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from striate.anatomy.fully_convolutional import fully_convolutional
from striate.errors import RequestError
from striate.inference.backbones import net_of
from striate.lines.composing import NONE
from striate.lines.decoding import Character, best_path
from striate.lines.preparing import WINDOW, PreparedLine, prepare_line
from striate.model import Model
from striate.nets.backbone import normalisation
from striate.pixels import Images
from striate.training.threads import one_thread

STEP = 2  # pixels between places: the network is run for each shift below its own stride


@dataclass(frozen=True, eq=False)
class LineScores:
    """log_probabilities [P, classes] of the classes at the places of a line. columns [P]: the middle of each window, in
    pixels of the prepared line."""

    line: PreparedLine
    log_probabilities: NDArray[np.float32]
    columns: NDArray[np.int64]


class LineReader:
    """A classifier of windows of 32 x 32 pixels, made fully convolutional, that reads lines of any length.

    One of the model's classes is "none": windows that have no digit in their middle (`striate.lines.composing`).
    Raises RequestError for a model without it, of other windows, whose head cannot be made of convolutions, or whose
    preprocessing differs from place to place.
    """

    def __init__(self, model: Model) -> None:
        pixels = model.pixels
        if not model.task.one_class or NONE not in model.classes:
            raise RequestError(
                f"to read lines, a model needs the class {NONE!r}, for windows without a digit in their middle, and "
                f"this {model.net} has {', '.join(model.classes[:12])}; 'striate compose' makes images to train one on"
            )
        if (pixels.height, pixels.width) != (WINDOW, WINDOW):
            raise RequestError(
                f"lines are read in windows of {WINDOW} x {WINDOW} pixels; this {model.net} takes {pixels.height} x "
                f"{pixels.width}"
            )
        if model.input_tensors or pixels.contrast or model.classifier:
            raise RequestError(
                f"this {model.net} has a mean image, whitening or a head that is no layer: it cannot be slid over lines"
            )
        self.classes, self.channels = model.classes, pixels.channels
        self.none = model.classes.index(NONE)
        self._net = fully_convolutional(net_of(model), (WINDOW, WINDOW)).eval()
        self._normalise = normalisation(pixels)
        self._stride = self._net.stride[1]

    @torch.no_grad()
    def scores(self, line: PreparedLine) -> LineScores:
        """The scores along a line, every 2 pixels."""
        columns, rows = [], []
        with one_thread():  # a line is too little work for several: they would wait for each other
            for shift in range(0, self._stride, STEP):
                part = torch.from_numpy(np.ascontiguousarray(line.image[:, shift:]))
                logits = self._net(self._normalise(part.expand(1, self.channels, *part.shape)))[0, :, 0]
                rows.append(torch.log_softmax(logits, 0).T.numpy())
                columns.append(shift + WINDOW // 2 + self._stride * np.arange(logits.shape[1]))
        order = np.argsort(np.concatenate(columns))
        return LineScores(line, np.concatenate(rows)[order], np.concatenate(columns)[order])

    def read(self, grey: Images) -> tuple[list[Character], LineScores]:
        """The characters of a grey picture [H, W] of one line, from left to right, and the scores they were found in.

        Raises RequestError for a picture without any ink.
        """
        return self.read_line(prepare_line(grey))

    def read_line(self, line: PreparedLine) -> tuple[list[Character], LineScores]:
        """The same of a prepared line."""
        scores = self.scores(line)
        return best_path(scores.log_probabilities, self.none), scores
